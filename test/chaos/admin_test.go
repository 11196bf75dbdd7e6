//go:build linux

package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/internal/workload"
)

// adminOf is the client of a host's admin API.
func adminOf(h *host) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext:       func(_ context.Context, _, address string) (net.Conn, error) { return h.dial(address) },
		DisableKeepAlives: true, // the process behind it may be another one the next time
	}}
}

// ask asks the sidecar of a host. answer, if it is not nil, takes the JSON.
func (h *host) ask(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(method, "http://"+adminAddress+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	if body == nil {
		request.Body, request.ContentLength = nil, 0
	} else {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := h.admin.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("%s: %s %s: %s: %s", h.name, method, path, response.Status, strings.TrimSpace(string(said)))
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// status is what is of interest of /v1/status.
type status struct {
	Pools []struct {
		Handle   string `json:"handle"`
		Elements []struct {
			Alive    bool   `json:"alive"`
			Draining string `json:"draining"`
		} `json:"elements"`
	} `json:"pools"`
	Sessions []struct {
		Client  string `json:"client"`
		Element string `json:"element"`
	} `json:"sessions"`
}

// betweenLooks is how long settle leaves the pool_user alone between two looks: to tell its status costs it more than a session.
const betweenLooks = 10 * time.Millisecond

// settle waits until the pool_user takes all elements of the columns for alive. It looks at one that has failed when a session wants
// to go somewhere, so there are some.
func (w *world) settle(columns []*column) error {
	of := make(map[string]*column, len(columns))
	for _, c := range columns {
		of[c.name] = c
	}
	var left []string
	err := every(betweenLooks, "all elements are alive", func() bool {
		var s status
		if w.user.ask(http.MethodGet, "/v1/status", nil, &s) != nil {
			return false
		}
		left = nil
		var probes sync.WaitGroup
		for _, p := range s.Pools {
			c := of[p.Handle]
			if c == nil {
				continue
			}
			alive := 0
			for _, e := range p.Elements {
				if e.Alive && e.Draining == "" {
					alive++
				}
			}
			if alive < len(w.hosts) {
				left = append(left, p.Handle)
				probes.Go(c.probe)
			}
		}
		probes.Wait()
		return len(left) == 0
	})
	if err != nil {
		return fmt.Errorf("%w: %v", err, left)
	}
	return nil
}

// probe is a session of one request.
func (c *column) probe() {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	client := &workload.Client{
		Kind: c.dialect.kind, Session: runNumber + sessions.Add(1), Address: fmt.Sprintf("%s:%d", c.world.user.address, c.port(portUser)),
		Next: workload.Plan{Kind: c.dialect.kind, Requests: 1, Small: true}.Next,
		Dial: func(_ context.Context, _, address string) (net.Conn, error) { return c.world.user.dial(address) },
	}
	client.Run(ctx)
}

// serving says for each session, by its client's address, which host serves it.
func (w *world) serving() (map[string]int, error) {
	var s status
	if err := w.user.ask(http.MethodGet, "/v1/status", nil, &s); err != nil {
		return nil, err
	}
	at := make(map[string]int, len(s.Sessions))
	for _, one := range s.Sessions {
		for i, h := range w.hosts {
			if strings.HasSuffix(one.Element, "-"+h.name) {
				at[one.Client] = i
			}
		}
	}
	return at, nil
}

// drain has the sessions of the column leave an element; undrain lets them in again.
func (c *column) drain(i int) error {
	return c.world.user.ask(http.MethodPut, "/v1/drains/"+c.element(i), nil, nil)
}

func (c *column) undrain(i int) (err error) {
	// Where elements register themselves, one whose server was killed is unknown until it has done so again.
	late := eventually(c.element(i)+" is drained no more", func() bool {
		err = c.world.user.ask(http.MethodDelete, "/v1/drains/"+c.element(i), nil, nil)
		return err == nil || c.world.cluster == nil
	})
	return errors.Join(late, err)
}

// element is its name on a host.
func (c *column) element(i int) string { return c.name + "-" + c.world.hosts[i].name }

// upgrade replaces the sidecar of a host by a binary, "" is its own, and returns the number of the new process.
func (h *host) upgrade(binary string) (pid int, err error) {
	var done admin.Upgraded
	err = h.ask(http.MethodPost, "/v1/upgrade", admin.Upgrade{Timeout: admin.Duration(patience.Milliseconds()), Binary: binary}, &done)
	return done.PID, err
}
