package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// longBody repeats nothing, so that bytes of one place cannot be taken for those of another.
var longBody = func() string {
	var b strings.Builder
	for i := 0; b.Len() < 4*overlap; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:4*overlap]
}()

// altered is longBody with one other byte.
func altered(at int) string { return longBody[:at] + "!" + longBody[at+1:] }

// cutAt is a client that has n bytes of longBody from old.
func cutAt(t *testing.T, old testServer, n, size int) *client {
	t.Helper()
	old.kind = bodyLength
	raw := old.reply(t, []byte(joinGet), 1)
	c := newClient(t, joinGet)
	c.first(t, raw[:bytes.Index(raw, []byte("\r\n\r\n"))+4+n], size)
	return c
}

// TestHTTPJoinAroundOverlap cuts long replies of every framing around the places where the part that is asked for begins to move, and
// at their end.
func TestHTTPJoinAroundOverlap(t *testing.T) {
	for _, from := range joinKinds {
		for _, to := range joinKinds {
			old := testServer{kind: from, fields: joinTag, body: longBody[:overlap+300], interim: "HTTP/1.1 103 E\r\n\r\n"}
			next := old
			next.kind = to
			raw := old.reply(t, []byte(joinGet), 1)
			for at := max(0, len(raw)-600); at < len(raw); at += 7 {
				joinAt(t, old, next, raw, at)
			}
		}
	}
}

// TestHTTPJoinEqualTag: two servers with equal validators for bodies that are not the same just before the cut are found out before a
// byte of the second one gets to the client; a difference that the client has long passed is not looked for.
func TestHTTPJoinEqualTag(t *testing.T) {
	const cut = 2*overlap + 100
	for _, fields := range []string{joinTag, joinDate} {
		for _, to := range joinKinds {
			for _, size := range []int{1, 1000, 1 << 20} {
				for differs, found := range map[int]bool{
					cut - 1: true, cut - overlap: true, cut - overlap - 1: false, 0: false, cut: false,
				} {
					c := cutAt(t, testServer{fields: fields, body: longBody}, cut, 777)
					had := len(c.got)
					j, err := c.join(t, testServer{kind: to, fields: fields, body: altered(differs)}, size, 0, 2)
					if found != errors.Is(err, ErrMismatch) || !found && (err != nil || !c.done) {
						t.Fatalf("differs at %d, pieces of %d: done %v, %v", differs, size, c.done, err)
					}
					if found && len(c.got) != had {
						t.Fatalf("differs at %d: %d bytes of another body were passed", differs, len(c.got)-had)
					}
					if j.Skipped() != overlap || j.Saved() != cut-overlap {
						t.Fatalf("skipped %d, saved %d", j.Skipped(), j.Saved())
					}
				}
			}
		}
	}
}

// TestHTTPJoinEqualTagTwice: what is kept goes on over many failovers, also over one that got no further than into the overlap.
func TestHTTPJoinEqualTagTwice(t *testing.T) {
	good := testServer{kind: bodyLength, fields: joinTag, body: longBody}
	for _, more := range []int{50, overlap, overlap + 150, overlap + 1000, 2*overlap + 200} { // bytes of the second answer, with its head
		c := cutAt(t, good, overlap+33, 500)
		if _, err := c.join(t, good, 300, more, 2); err != nil || c.done {
			t.Fatal(c.done, err)
		}
		at := int(c.last.Detail.(*httpDelivered).decoded.Bytes())
		for _, differs := range []int{at - overlap, at - 1} {
			evil := &client{p: c.p, head: c.head, req: c.req, got: c.got, last: c.last}
			bad := good
			bad.body = altered(differs)
			if _, err := evil.join(t, bad, 300, 0, 3); !errors.Is(err, ErrMismatch) || len(evil.got) != len(c.got) {
				t.Fatalf("cut again at %d, differs at %d: %d more bytes, %v", at, differs, len(evil.got)-len(c.got), err)
			}
		}
		j, err := c.join(t, good, 300, 0, 4)
		if err != nil || !c.done || c.body(t) != longBody {
			t.Fatalf("cut again at %d: done %v, %v", at, c.done, err)
		}
		if j.Skipped() != overlap || j.Saved() != int64(at-overlap) {
			t.Fatalf("cut again at %d: skipped %d, saved %d", at, j.Skipped(), j.Saved())
		}
	}
}

// TestHTTPJoinEqualTagEarly: the cut is so early that all of what the client has is asked for, and compared.
func TestHTTPJoinEqualTagEarly(t *testing.T) {
	good := testServer{kind: bodyLength, fields: joinTag, body: longBody}
	for _, cut := range []int{1, 2, 100, overlap - 1, overlap} {
		for _, differs := range []int{0, cut / 2, cut - 1} {
			c := cutAt(t, good, cut, 64)
			had := len(c.got)
			bad := good
			bad.body = altered(differs)
			if _, err := c.join(t, bad, 100, 0, 2); !errors.Is(err, ErrMismatch) || len(c.got) != had {
				t.Fatalf("cut at %d, differs at %d: %v", cut, differs, err)
			}
		}
		c := cutAt(t, good, cut, 64)
		j, err := c.join(t, good, 100, 0, 2)
		if err != nil || c.body(t) != longBody || j.Skipped() != int64(cut) || j.Saved() != 0 {
			t.Fatalf("cut at %d: skipped %d, saved %d, %v", cut, j.Skipped(), j.Saved(), err)
		}
	}
}

// What is kept is bounded, is the end of what was added, and is nothing where no part can be asked for.
func TestHTTPDecodedKeepsTheEnd(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		d := httpDecoded{keeps: true}
		for total := 0; total < len(longBody); {
			n := min(len(longBody)-total, 1+rnd.IntN([]int{3, 700, 3 * overlap}[rnd.IntN(3)]))
			d.Add([]byte(longBody[total : total+n]))
			total += n
			if got := string(d.last[d.at:]) + string(d.last[:d.at]); got != longBody[max(0, total-overlap):total] {
				t.Fatalf("behind %d bytes: %d bytes are kept, or others", total, len(got))
			}
		}
	}
	c := newClient(t, joinGet)
	c.first(t, testServer{kind: bodyClose, body: longBody}.reply(t, c.head, 1), 1000)
	if d := c.last.Detail.(*httpDelivered).decoded; d.Bytes() != int64(len(longBody)) || len(d.last) != 0 {
		t.Fatalf("%d bytes, %d kept", d.Bytes(), len(d.last))
	}
}

// A Delivered is a picture of its moment: what two joiners go on with from it does not change it, nor each other.
func TestHTTPDeliveredKeepsACopy(t *testing.T) {
	good := testServer{kind: bodyLength, fields: joinTag, body: longBody}
	c := cutAt(t, good, overlap+10, 100)
	before := c.last.Detail.(*httpDelivered).decoded.tail()
	for range 2 {
		one := &client{p: c.p, head: c.head, req: c.req, got: bytes.Clone(c.got), last: c.last}
		if _, err := one.join(t, good, 100, 0, 2); err != nil || one.body(t) != longBody {
			t.Fatal(err)
		}
		if after := c.last.Detail.(*httpDelivered).decoded.tail(); after.Sum != before.Sum {
			t.Fatal("the bytes that were kept have changed")
		}
	}
}
