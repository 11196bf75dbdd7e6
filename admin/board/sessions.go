package board

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// page is the answer of GET /v1/sessions: a part of the sessions that were seen last.
type page struct {
	Total    int       `json:"total"` // that fit
	Offset   int       `json:"offset"`
	Sessions []Session `json:"sessions"`
}

// sessions is GET /v1/sessions?offset=&limit=&protection=&find=&leaving=: the sessions in the order of their pool_user and
// number. They are those of the last look; while nobody follows the events there are none.
func (b *Board) sessions(w http.ResponseWriter, r *http.Request) {
	ask := r.URL.Query()
	offset, err := strconv.Atoi(cmp.Or(ask.Get("offset"), "0"))
	limit, err2 := strconv.Atoi(cmp.Or(ask.Get("limit"), strconv.Itoa(mostSessions)))
	if err != nil || err2 != nil || offset < 0 || limit < 1 || limit > mostSessions {
		http.Error(w, "offset has to be 0 or more, limit 1 to "+strconv.Itoa(mostSessions), http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	all := b.last.Sessions // is replaced, never changed
	b.mu.Unlock()
	protection, find, leaving := ask.Get("protection"), strings.ToLower(ask.Get("find")), ask.Get("leaving")
	p := page{Offset: offset, Sessions: []Session{}}
	for i := range all {
		s := &all[i]
		if protection != "" && s.Protection != protection || find != "" && !s.has(find) || leaving != "" && (s.Leaves == "" || s.Element != leaving) {
			continue
		}
		if p.Total++; p.Total > offset && len(p.Sessions) < limit {
			p.Sessions = append(p.Sessions, *s)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(append(line(p), '\n')) // an error is the client's: it has gone
}

// has reports whether a text, in small letters, stands in what the table shows of a session.
func (s *Session) has(text string) bool {
	for _, field := range []string{s.Client, s.Element, s.User, s.State, s.Reason, s.Stays, strconv.FormatUint(s.ID, 10)} {
		if strings.Contains(strings.ToLower(field), text) {
			return true
		}
	}
	return false
}

// sorted puts the sessions in the order of pages.
func (v *View) sorted() {
	slices.SortFunc(v.Sessions, func(a, b Session) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.ID, b.ID)) })
}
