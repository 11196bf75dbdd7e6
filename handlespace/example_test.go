package handlespace_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/pool"
)

// A program without a proxy: a static pool, in which a server registers itself; a client asks for a server, and for the next one.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	static := pool.NewLocal()
	static.Set("orders", pool.RoundRobin, []pool.Element{{Name: "a", Address: netip.MustParseAddrPort("10.0.0.11:7001")}})
	h := handlespace.New(time.Now)
	h.Follow(handlespace.Pool{Pool: pool.New("orders", pool.RoundRobin, nil), Mapping: "none", Source: static})
	defer h.Close(ctx)

	id, err := h.Register(ctx, pool.Registration{Handle: "orders", Policy: pool.RoundRobin,
		Element: pool.Element{Name: "b", Address: netip.MustParseAddrPort("10.0.0.12:7001")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := h.PrimaryServer(ctx, "orders")
	fmt.Println(server.Name, server.Address, err)

	server, err = h.NextServer(ctx, "orders", server.Name, false) // it does not answer
	fmt.Println(server.Name, server.Address, err)

	_, err = h.Deregister(ctx, id)
	fmt.Println(err)
	_, err = h.PrimaryServer(ctx, "payments")
	fmt.Println(errors.Is(err, pool.ErrUnknownPool), err)
	// Output:
	// a 10.0.0.11:7001 <nil>
	// b 10.0.0.12:7001 <nil>
	// <nil>
	// true unknown pool "payments": there are "orders"
}

// yellowPages is somebody who knows where the servers are.
type yellowPages struct{}

// Follow looks up the pool (pool.Source). A real one goes on telling what changes.
func (yellowPages) Follow(handle string, told func(pool.News)) (stop func()) {
	told(pool.News{Elements: []pool.Element{
		{Name: "north", Address: netip.MustParseAddrPort("10.0.1.1:80"), Priority: 2},
		{Name: "south", Address: netip.MustParseAddrPort("10.0.2.1:80"), Priority: 1},
	}})
	return func() {}
}

// Report is told who has failed (pool.Reporter).
func (yellowPages) Report(handle string, e pool.Element) {
	fmt.Printf("%s of pool %s has failed\n", e.Name, handle)
}

// A pool whose elements come from a source, which is told of failures.
func Example_source() {
	ctx := context.Background()
	h := handlespace.New(time.Now)
	h.Follow(handlespace.Pool{Pool: pool.New("web", pool.Priority, nil), Mapping: "none", Source: yellowPages{}, SourceName: "pages"})
	defer h.Close(ctx)

	server, err := h.PrimaryServer(ctx, "web")
	fmt.Println(server.Name, err)
	server, err = h.NextServer(ctx, "web", "10.0.1.1", true)
	fmt.Println(server.Name, err)
	fmt.Println(server.Err)
	// Output:
	// north <nil>
	// north of pool web has failed
	// south <nil>
	// source pages of pool "web" cannot be asked at once: it says by itself what has changed
}
