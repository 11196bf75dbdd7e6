//go:build linux

package load

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// waiting are clients that have asked, each with a goroutine that ends with its answer.
type waiting struct {
	*crowd
	lock  sync.Mutex
	after []*member // those that have their answers, in the order in which they got them
}

func (c *waiting) served() []*member {
	c.lock.Lock()
	defer c.lock.Unlock()
	return slices.Clone(c.after)
}

// wait has the clients ask once more, those that have no connection by connecting to the doors in turn.
func wait(members []*member, doors []string) *waiting {
	w := &waiting{crowd: &crowd{members: members}}
	for i, m := range members {
		go func() {
			if m.conn == nil {
				m.err = m.open(doors[i%len(doors)])
			} else {
				m.err = m.ask(time.Now())
			}
			w.lock.Lock()
			defer w.lock.Unlock()
			w.after = append(w.after, m)
		}()
	}
	return w
}

// is waits until so many of them have been served, and then makes sure that no more are for a while.
func (c *waiting) is(t *testing.T, what string, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%s: %d to be served", what, n), func() bool { return len(c.served()) >= n })
	time.Sleep(400 * time.Millisecond) // longer than a full element is asked again
	if got := len(c.served()); got != n {
		t.Fatalf("%s: %d are served, want %d", what, got, n)
	}
}

// TestRoom has pool_elements that take few sessions, of two pool_users over two shards: none of their servers ever has one more, those that are
// too many wait for room, or are told after failover.deadline that there is none, and room is used as soon as there is some, also when one of the
// elements has been killed and comes back.
func TestRoom(t *testing.T) {
	needs(t)
	room := []int{5, 12}
	w := newWorld(t, shape{mapping: "tcp", elements: 2, users: 2, shards: 2, policy: "priority", room: room, user: "failover { deadline = \"120s\" }"})
	var clients []*member
	for i := range 17 {
		clients = append(clients, &member{id: i})
	}
	first := wait(clients, w.doors())
	defer first.leave()
	waitFor(t, "17 to be served", func() bool { return len(first.served()) == 17 })
	if err := first.failed(); err != nil {
		t.Fatal(err)
	}
	if by := first.by(); by["e1"] != 5 || by["e2"] != 12 {
		t.Fatalf("they are at %v", by)
	}
	small, large := of(first.served(), "e1"), of(first.served(), "e2")
	var others []*member
	for i := range 5 {
		others = append(others, &member{id: 100 + i})
	}
	late := wait(others, w.doors())
	late.is(t, "all are full", 0)
	small[0].conn.Close()
	late.is(t, "one has left the small one", 1)
	large[0].conn.Close()
	late.is(t, "one has left the large one", 2)
	w.turnsAway(t)
	w.places[1].die() // 12 have lost their element, and the other one is full
	orphans := wait(append(large[1:], of(late.served(), "e2")...), nil)
	orphans.is(t, "the large one is dead", 0)
	for _, m := range small[1:4] {
		m.conn.Close()
	}
	waitFor(t, "3 to have got the places of the small one", func() bool { return len(late.served())+len(orphans.served()) == 2+3 })
	w.begin(w.places[1])
	waitFor(t, "all to be served", func() bool { return len(late.served()) == 5 && len(orphans.served()) == 12 })
	for _, c := range []*waiting{late, orphans} {
		if err := c.failed(); err != nil {
			t.Error(err)
		}
		defer c.leave()
	}
	waitFor(t, "the servers to tell of all", func() bool { return w.places[0].told(t).Now+w.places[1].told(t).Now == 17 })
	for i, p := range w.places {
		told := p.told(t)
		tell(t, fmt.Sprintf("sessions at once at %s, which takes %d", p.name, room[i]), float64(told.Most), "")
		if told.Most > int64(room[i]) {
			t.Errorf("the server of %s has had %d connections at once", p.name, told.Most)
		}
	}
}

// of are those that a server has answered last.
func of(all []*member, who string) []*member {
	return slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return m.who != who })
}

// turnsAway has clients come to a pool_user that waits for one second while everything is full: they are told.
func (w *world) turnsAway(t *testing.T) {
	w.shape.user = "failover { deadline = \"1s\" }"
	w.startUser()
	for range 3 {
		conn, err := net.Dial("tcp", w.users[len(w.users)-1].listen)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, "GET 1-1\n"); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(text), "ERR nobody is there") {
			t.Errorf("who waits for longer than failover.deadline is told %q, %v", text, err)
		}
	}
}
