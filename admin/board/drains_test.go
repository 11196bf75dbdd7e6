package board

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

// What is drained is told with who is left and why; sessions that stay can be asked for.
func TestDrains(t *testing.T) {
	v := large(3, 9)
	for i := range v.Sessions {
		s := &v.Sessions[i]
		if s.Element = []string{"e0", "e1", "elsewhere"}[i%3]; s.Element == "e0" {
			s.Leaves, s.Stays = "asked", "in a transaction since 12:00:0"+string(rune('0'+i))
		}
	}
	v.Elements[0].Draining = "asked"
	v.Elements = append(v.Elements, Element{Pool: "other", Name: "e0", Draining: "asked"})
	v.Sides = []Side{{Side: "pool_element", Name: "own", Sessions: 4, Held: 1, Drained: true}, {Side: "pool_element", Name: "e2"}}
	_, s, view := served(t, v)
	b := follows(t, s)
	b.until("drains", func() bool { return len(b.rows["drains"]) == 2 })
	for name, want := range map[string]string{
		"e0":  `{"element":"e0","why":"asked","pools":["web","other"],"own":false,"sessions":3,"legs":0,"reasons":[{"protection":"","reason":"in a transaction since …","sessions":3}]}`,
		"own": `{"element":"own","why":"it was asked for at this sidecar","pools":[],"own":true,"sessions":0,"legs":5,"reasons":[]}`,
	} {
		if got := string(b.rows["drains"][name]); got != want {
			t.Errorf("%s\nnot\n%s", got, want)
		}
	}
	answer, err := http.Get(s.URL + "/v1/sessions?leaving=e0")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var p page
	if err := json.NewDecoder(answer.Body).Decode(&p); err != nil || p.Total != 3 || !strings.Contains(p.Sessions[0].Stays, "transaction") {
		t.Errorf("%v %+v", err, p)
	}
	next := large(3, 1)
	next.Changes = ChangesToken
	view.Store(&next)
	b.until("no drains", func() bool { return len(b.rows["drains"]) == 0 && b.summary.Changes == "token" })
}
