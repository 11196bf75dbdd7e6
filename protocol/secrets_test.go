package protocol

import (
	"strings"
	"testing"
)

// What a client has said is not in the error when it is not valid: the log and the records have that, and it may be a login.
func TestErrorsHoldNoSecrets(t *testing.T) {
	web, cache := NewHTTP(HTTPConfig{}), NewRedis(RedisConfig{})
	for _, c := range []struct {
		protocol Protocol
		input    string
	}{
		{web, "GET / HTTP/1.1\r\nAuthorization hunter2\r\n\r\n"},
		{web, "GET / HTTP/1.1\r\nAuthorization hunter2: x\r\n\r\n"},
		{web, "GET / HTTP/1.1\r\nhunter2 : x\r\n\r\n"},
		{web, "GET /a%zz?token=hunter2 HTTP/1.1\r\n\r\n"},
		{web, "GET /?token=hunter2 x HTTP/1.1\r\n\r\n"},
		{web, "GET /?token=hunter2\r\n\r\n"},
		{web, "hunter2\r\n\r\n"},
		{web, "GET / HTTP/hunter2\r\n\r\n"},
		{web, "POST / HTTP/1.1\r\nContent-Length: hunter2\r\n\r\n"},
		{web, "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: hunter2\r\n\r\n"},
		{web, "POST / HTTP/1.1\r\nTransfer-Encoding: hunter2\r\n\r\n"},
		{web, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nhunter2\r\n"},
		{cache, "*2\r\n$4\r\nAUTH\r\nhunter2\r\n"},
		{cache, "*hunter2\r\n"},
		{cache, "*2\r\n$4\r\nAUTH\r\n$hunter2\r\n"},
		{cache, "AUTH \"hunter2\r\n"},
	} {
		p := []byte(c.input)
		requests := c.protocol.Requests()
		var err error
		for len(p) > 0 && err == nil {
			var cut Cut
			cut, _, err = requests.Next(p)
			p = p[cut.N:]
		}
		if err == nil {
			t.Errorf("%q is valid", c.input)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", c.input, err)
		}
	}
}
