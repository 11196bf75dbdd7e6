package mapping

import (
	"errors"
	"testing"
	"time"
)

// FuzzControl: whatever control messages a peer sends, the answer is an error or a sound meaning.
func FuzzControl(f *testing.F) {
	var t sctpTalk
	now := time.Unix(1000, 0)
	f.Add(t.hello(), t.ask(now))
	f.Add(t.hello(), t.wrap(controlFirst, &Message{PPID: PPIDEnd, Data: []byte("data")}))
	f.Add(t.hello(), t.wrap(controlEmpty, &Message{PPID: PPIDEnd}))
	f.Add([]byte{controlHello, 9}, []byte{controlAnswer, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		talk := sctpTalk{start: now}
		talk.watch.Interval, talk.watch.Misses = time.Second, 3
		talk.ask(now)
		for i, b := range [][]byte{first, second} {
			what, err := talk.read(now, b)
			switch {
			case err != nil && !errors.Is(err, ErrProtocol):
				t.Fatalf("%x: %v does not wrap ErrProtocol", b, err)
			case err != nil:
				return
			case !talk.up:
				t.Fatalf("%x was taken before the introduction", b)
			case i == 1 && b[0] == controlHello:
				t.Fatal("a second introduction was taken")
			case what.wrapped && len(what.data)+5 != len(b) || what.answer != nil && len(what.answer) != 9:
				t.Fatalf("%x means %+v", b, what)
			}
		}
	})
}
