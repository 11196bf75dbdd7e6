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
	Reasons    []reason       `json:"reasons"`
	Elements   int            `json:"elements"` // all that there are; the table may have less
	Failovers  int            `json:"failovers"`
}

// reason is why so many sessions have this protection.
type reason struct {
	Protection string `json:"protection"`
	Reason     string `json:"reason"`
	Sessions   int    `json:"sessions"`
}

// moment is the part of a reason that is another one for each session.
var moment = regexp.MustCompile(`\d{2}:\d{2}:\d{2}`)

// summary adds up the sessions.
func (v *View) summary() overview {
	o := overview{Version: v.Version, Started: v.Started.UnixMilli(), Sessions: len(v.Sessions), Protection: map[string]int{}}
	why := map[reason]int{}
	short := map[string]string{} // most sessions have one of few reasons
	for i := range v.Sessions {
		s := &v.Sessions[i]
		o.Protection[s.Protection]++
		if s.Reason == "" {
			continue
		}
		text, known := short[s.Reason]
		if !known {
			text = moment.ReplaceAllString(s.Reason, "…")
			short[s.Reason] = text
		}
		why[reason{Protection: s.Protection, Reason: text}]++
	}
	for r, n := range why {
		r.Sessions = n
		o.Reasons = append(o.Reasons, r)
	}
	slices.SortFunc(o.Reasons, func(a, b reason) int {
		return cmp.Or(b.Sessions-a.Sessions, cmp.Compare(a.Protection, b.Protection), cmp.Compare(a.Reason, b.Reason))
	})
	if len(o.Reasons) > mostReasons {
		rest := reason{Reason: "other reasons"}
		for _, r := range o.Reasons[mostReasons:] {
			rest.Sessions += r.Sessions
		}
		o.Reasons = append(o.Reasons[:mostReasons], rest)
	}
	return o
}
