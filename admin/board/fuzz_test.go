package board

import (
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"testing"
)

// FuzzPage: whatever page of the sessions is asked for, it is what was asked for, within bounds, or a refusal.
func FuzzPage(f *testing.F) {
	f.Add("offset=1&limit=2&find=10.0&protection=degraded")
	f.Add("offset=-1")
	f.Add("offset=9223372036854775807&limit=100")
	f.Add("limit=0x10&find=%00;&leaving=a")
	b := New(func() View { return large(3, 50) })
	f.Cleanup(b.Close)
	b.last = large(3, 50)
	f.Fuzz(func(t *testing.T, query string) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/v1/sessions", nil)
		r.URL.RawQuery = query
		b.sessions(w, r)
		if w.Code == 400 {
			return
		}
		var p page
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 || len(p.Sessions) > 50 || p.Total > 50 || p.Offset < 0 {
			t.Fatalf("%q: %d, %v, %.200s", query, w.Code, err, w.Body)
		}
		if _, err := url.ParseQuery(query); err == nil && p.Offset < p.Total && len(p.Sessions) == 0 {
			t.Fatalf("%q: nothing of %d", query, p.Total)
		}
	})
}
