package session

import (
	"bytes"
	"testing"
)

// FuzzCookie: nothing is taken for a cookie that was not signed for this session, by this key.
func FuzzCookie(f *testing.F) {
	rule, token := keyed(1), token16(0x20)
	f.Add(rule.seal(nil, token, []byte("hello")))
	f.Add([]byte{sealVersion})
	f.Add(append([]byte{sealVersion}, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if cookie, err := rule.unseal(token, sealed); err == nil && !bytes.Equal(rule.seal(nil, token, cookie), sealed) {
			t.Fatalf("%x is taken for a cookie", sealed)
		}
		if _, err := rule.unseal(token16(0x21), rule.seal(nil, token, sealed)); err == nil {
			t.Fatal("the cookie of another session is taken")
		}
		if cookie, err := rule.unseal(token, rule.seal(nil, token, sealed)); err != nil || !bytes.Equal(cookie, sealed) {
			t.Fatalf("%x came back as %x, %v", sealed, cookie, err)
		}
	})
}
