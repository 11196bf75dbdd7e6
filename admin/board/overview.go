package board

import (
	"cmp"
	"regexp"
	"slices"
)

// overview is what is told anew each time: its size does not depend on how much there is.
type overview struct {
	Version    string         `json:"version"`
	Started    int64          `json:"started"` // milliseconds since 1970
	Now        int64          `json:"now"`     // likewise: the server's clock
	Every      int64          `json:"every"`   // milliseconds until the next one
	Sessions   int            `json:"sessions"`
	Protection map[string]int `json:"protection"`
	Reasons    []Reason       `json:"reasons"`
	Elements   int            `json:"elements"` // all that there are; the table may have less
	Failovers  int            `json:"failovers"`
	Changes    string         `json:"changes"` // as in View
}

// Reason is why so many sessions have this protection.
type Reason struct {
	Protection string `json:"protection"`
	Reason     string `json:"reason"`
	Sessions   int    `json:"sessions"`
}

// moment is the part of a reason that is another one for each session.
var moment = regexp.MustCompile(`\d{2}:\d{2}:\d{2}`)

// summary adds up the sessions.
func (v *View) summary() overview {
	o := overview{Reasons: v.Reasons(), Version: v.Version, Started: v.Started.UnixMilli(), Sessions: len(v.Sessions), Protection: map[string]int{}, Changes: v.Changes}
	for i := range v.Sessions {
		o.Protection[v.Sessions[i].Protection]++
	}
	return o
}

// Reasons are why sessions are not protected, most sessions first, and at most mostReasons and the rest.
func (v *View) Reasons() []Reason {
	why, short := map[Reason]int{}, shortener{}
	for i := range v.Sessions {
		if s := &v.Sessions[i]; s.Reason != "" {
			why[Reason{Protection: s.Protection, Reason: short.of(s.Reason)}]++
		}
	}
	return counted(why)
}

// shortener has reasons without what is another one for each session. Most sessions have one of few reasons.
type shortener map[string]string

func (s shortener) of(reason string) string {
	text, known := s[reason]
	if !known {
		text = moment.ReplaceAllString(reason, "…")
		s[reason] = text
	}
	return text
}

// counted puts reasons in the order of their sessions, and adds up what is beyond the bound.
func counted(why map[Reason]int) (all []Reason) {
	for r, n := range why {
		r.Sessions = n
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Reason) int {
		return cmp.Or(b.Sessions-a.Sessions, cmp.Compare(a.Protection, b.Protection), cmp.Compare(a.Reason, b.Reason))
	})
	if len(all) > mostReasons {
		rest := Reason{Reason: "other reasons"}
		for _, r := range all[mostReasons:] {
			rest.Sessions += r.Sessions
		}
		all = append(all[:mostReasons], rest)
	}
	return all
}
