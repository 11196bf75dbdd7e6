package protocol

import "testing"

// A server that does not serve yet is known by the whole line, in whatever pieces it comes: nothing of it is let pass before its end is known.
// What is not quite that is an error like others.
func TestRedisLoading(t *testing.T) {
	words := "-LOADING Redis is loading the dataset in memory\r\n"
	long := "-LOADING " + string(make([]byte, redisMaxLoading)) + "\r\n"
	for _, test := range []struct {
		command, reply string
		unready        bool
	}{
		{"SET k v\r\n", words, true},
		{"GET k\r\n", "-LOADING \r\n", true},
		{"EVAL x 0\r\n", words, true},
		{"EVAL x 0\r\n", "-LOADING of the ship has begun\r\n", false},
		{"GET k\r\n", "-LOADING\r\n", false},
		{"GET k\r\n", "-LOADINGS of it\r\n", false},
		{"GET k\r\n", "-ERR LOADING \r\n", false},
		{"GET k\r\n", "+LOADING x\r\n", false},
		{"GET k\r\n", "$10\r\n-LOADING x\r\n", false},
		{"GET k\r\n", "*1\r\n-LOADING x\r\n", false},
		{"GET k\r\n", "-\r\n", false},
		{"GET k\r\n", long, false},
	} {
		for size := 1; size <= len(test.reply); size++ {
			req := requestsOf(t, testRedis(), test.command)[0]
			replies := testRedis().Replies()
			passed, unready := 0, false
			for at := 0; at < len(test.reply); {
				cut, err := replies.Next(req, []byte(test.reply[at:min(at+size, len(test.reply))]))
				if err != nil {
					t.Fatalf("%q in pieces of %d: %v", test.reply, size, err)
				}
				if unready = cut.Unready; unready != (test.unready && cut.End) {
					t.Fatalf("%q in pieces of %d: %+v", test.reply, size, cut)
				}
				if at += cut.N; !cut.Hold && !cut.Unready {
					passed = at
				}
				if d := replies.Delivered(); !cut.End && d.Bytes != int64(passed) {
					t.Fatalf("%q in pieces of %d: %d bytes delivered, %d let pass", test.reply, size, d.Bytes, passed)
				}
			}
			if test.unready != (passed == 0) {
				t.Fatalf("%q in pieces of %d: %d bytes let pass", test.reply, size, passed)
			}
		}
	}
	if cut, err := testRedis().Replies().Next(nil, []byte(words)); err != nil || cut.Unready {
		t.Errorf("unasked: %+v, %v", cut, err)
	}
}
