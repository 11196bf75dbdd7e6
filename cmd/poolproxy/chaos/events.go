package chaos

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// Event is something that is said while it goes on: a line of text for people, the fields for programs.
type Event struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"` // about | would | begins | hit | failed | over | failover | lost | waits | note | undone | report
	Number int       `json:"number,omitempty"`
	Text   string    `json:"text"`

	Kind    string   `json:"kind,omitempty"`
	Admin   string   `json:"admin,omitempty"`
	Side    string   `json:"side,omitempty"`
	Name    string   `json:"name,omitempty"`
	Pool    string   `json:"pool,omitempty"`
	Element string   `json:"element,omitempty"`
	For     string   `json:"for,omitempty"`
	Hit     []string `json:"hit,omitempty"`
	Report  *Report  `json:"report,omitempty"`
}

// of fills in what an event says of a strike.
func (e Event) of(s *strike) Event {
	e.Number, e.Kind, e.Admin, e.Side, e.Name, e.For = s.number, s.kind, s.target.peer.Address, s.target.block.Side, s.target.block.Name, s.hold.String()
	e.Pool, e.Element = s.target.elements[0].pool.handle, s.target.elements[0].name
	return e
}

// Say is told of all events, in their order.
type Say func(Event)

// Text says them for people: a line each, with the time of day.
func Text(w io.Writer) Say {
	return func(e Event) {
		if e.Event == "about" || e.Event == "would" || e.Event == "report" {
			fmt.Fprintln(w, e.Text)
			return
		}
		fmt.Fprintf(w, "%s  %s\n", e.Time.Format("15:04:05.0"), e.Text)
	}
}

// JSON says them for programs: an object each, on a line of its own.
func JSON(w io.Writer) Say {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return func(e Event) {
		out.Encode(e) // an error is that nobody reads it; what is going on ends all the same
	}
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// list joins words for people, without what would move the cursor.
func list(words []string) string { return printable(strings.Join(words, ", ")) }
