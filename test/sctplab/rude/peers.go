//go:build linux

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/poolproxy/poolproxy/asap"
	"github.com/poolproxy/poolproxy/mapping"
)

// user is a pool user; it sends what next makes until that has no more.
type user struct {
	a    mapping.Association
	next func(i int) (m mapping.Message, more bool)
	deaf bool
	sent int
	want []byte // that has to come back
	got  []byte
}

var users = map[string]func() *user{
	"asap": rubbishUser,
	"huge": hugeUser,
	"ppid": func() *user {
		return &user{next: func(i int) (mapping.Message, bool) { return mapping.Message{PPID: 99, Data: []byte("?\n")}, i < 1 }}
	},
	"deaf": func() *user {
		line := append(bytes.Repeat([]byte("d"), 30_000), '\n')
		return &user{deaf: true, next: func(int) (mapping.Message, bool) { return mapping.Message{Data: line}, true }}
	},
	"idle": func() *user { return &user{next: func(int) (m mapping.Message, more bool) { return }} },
}

const rubbishes = 1000

func rubbishUser() *user {
	line := []byte("after the rubbish\n")
	return &user{want: line, next: func(i int) (mapping.Message, bool) {
		if i < rubbishes {
			return mapping.Message{PPID: asap.PPID, Data: rubbish(i)}, true
		}
		return mapping.Message{Data: line}, i == rubbishes
	}}
}

func hugeUser() *user {
	line := append(bytes.Repeat([]byte("h"), 1<<20-1), '\n')
	return &user{want: bytes.Repeat(line, 3), next: func(i int) (mapping.Message, bool) { return mapping.Message{Data: line}, i < 3 }}
}

// rubbish is the i-th piece of it: any bytes, or the beginning of a message of ASAP with any bytes behind. It has no whole COOKIE_ECHO.
func rubbish(i int) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 1))
	b := make([]byte, 1+r.IntN(2000))
	for j := range b {
		b[j] = byte(r.Uint32())
	}
	if b[0] = byte(i % 16); b[0] == 12 {
		b[0] = 255
	}
	if len(b) >= 4 && i%2 == 0 {
		b[2], b[3] = byte(len(b)>>8), byte(len(b))
	}
	return b
}

func (u *user) Up() {
	if p := u.a.(mapping.Pauser); u.deaf { // every association of SCTP can be paused
		p.Pause()
	}
	u.Drained()
}

func (u *user) Drained() {
	for room(u.a) {
		m, more := u.next(u.sent)
		if !more {
			return
		}
		u.sent++
		must(u.a.Send(m, nil))
	}
}

func (u *user) Receive(m mapping.Message) {
	if u.got = append(u.got, m.Data...); len(u.got) < len(u.want) {
		return
	}
	if !bytes.Equal(u.got, u.want) {
		fmt.Printf("FAIL: %d bytes that are not those that were sent\n", len(u.got))
		os.Exit(1)
	}
	fmt.Println("PASS: echoed", len(u.got))
	os.Exit(0)
}

func (u *user) Down(err error) { over(err) }

// element is one association of the pool element.
type element struct {
	a    mapping.Association
	sent int
}

func (e *element) Up() { e.Drained() }

// Drained sends cookies. The last one of each round is one that can be kept.
func (e *element) Drained() {
	for room(e.a) {
		e.sent++
		if e.sent%10 == 1 {
			must(e.a.Send(mapping.Message{PPID: asap.PPID, Data: rubbish(e.sent)}, nil))
		}
		size := 4096
		if e.sent%100 == 2 {
			size = 5000
		}
		b, err := asap.RSPLIB().Append(nil, asap.CookieMessage{Cookie: bytes.Repeat([]byte{byte(e.sent)}, size)})
		must(err)
		must(e.a.Send(mapping.Message{PPID: asap.PPID, Data: b}, nil))
	}
}

func (e *element) Receive(m mapping.Message) {
	if m.PPID == 0 {
		must(e.a.Send(mapping.Message{Data: bytes.Clone(m.Data)}, nil))
	}
}

func (e *element) Down(err error) {
	fmt.Println("an association has ended:", err, "; cookies:", e.sent)
}
