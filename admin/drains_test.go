package admin

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestDrains(t *testing.T) {
	drained := map[string]bool{}
	set := func(on bool) func(string) error {
		return func(element string) error {
			if element != "a b" {
				return fmt.Errorf("%w: %q", ErrUnknownElement, element)
			}
			drained[element] = on
			return nil
		}
	}
	server := httptest.NewServer(routes(Options{Drains: &Drains{Begin: set(true), End: set(false),
		State: func(element string) (any, error) { return map[string]bool{"draining": drained[element]}, nil }}}))
	defer server.Close()
	for _, x := range []struct {
		method, path string
		status       int
		says         string
	}{
		{"GET", "/v1/drains/a%20b", 200, `"draining": false`},
		{"PUT", "/v1/drains/a%20b", 200, `"draining": true`},
		{"GET", "/v1/drains/a%20b", 200, `"draining": true`},
		{"DELETE", "/v1/drains/a%20b", 200, `"draining": false`},
		{"PUT", "/v1/drains/c", 404, `"code": "unknown_element"`},
		{"POST", "/v1/drains/a%20b", 405, ""},
	} {
		r, err := http.NewRequest(x.method, server.URL+x.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(got.Body)
		got.Body.Close()
		if got.StatusCode != x.status || !strings.Contains(string(text), x.says) {
			t.Errorf("%s %s: %d %s", x.method, x.path, got.StatusCode, text)
		}
	}
}
