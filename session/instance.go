package session

import "github.com/poolproxy/poolproxy/mapping"

// PeerInstance is the instance of the peer whose first message m is; ok is false if that is not a HELLO that this side would
// take.
func PeerInstance(m mapping.Message) (instance Token, ok bool) {
	var hello message
	if m.PPID != mapping.PPIDSession || hello.parse(m.Data) != nil || checkHello(m.Stream, &hello) != nil {
		return Token{}, false
	}
	return hello.instance, true
}

// Part is the instance of the i-th of several pool users in one process, i from 0 to 255: they differ in the last byte, by which
// Spread tells them apart.
func (t Token) Part(i int) Token {
	t[len(t)-1] = byte(i)
	return t
}

// Spread assigns an instance to one of n: parts of one process go to different ones.
func (t Token) Spread(n int) int {
	sum := 0
	for _, b := range t { // unpredictable bytes: any sum will do
		sum += int(b)
	}
	return sum % n
}
