package board

import (
	"bytes"
	"fmt"
	"strconv"
)

// message is one server-sent event, as it goes over the wire.
type message []byte

// event writes one. What it carries is JSON in one line, so nothing in it can be read as another event.
func event(name string, data []byte) message {
	return fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, data)
}

// table is what browsers have of one table: rows by key.
type table struct {
	name string
	rows map[string][]byte
	keys []string // in the order of the last time
}

// row is one, by the key that tells it from the others.
type row struct {
	key  string
	data []byte
}

// update takes the rows that there are now, and returns the events that bring a browser there which has had all before. They
// are cut into pieces, so that none is large.
func (t *table) update(rows []row) []message {
	var changed []row
	now, keys := make(map[string][]byte, len(rows)), make([]string, 0, len(rows))
	for _, r := range rows {
		if _, twice := now[r.key]; twice {
			continue
		}
		now[r.key] = r.data
		keys = append(keys, r.key)
		if !bytes.Equal(t.rows[r.key], r.data) {
			changed = append(changed, r)
		}
	}
	var gone []string
	for _, key := range t.keys {
		if _, is := now[key]; !is {
			gone = append(gone, key)
		}
	}
	t.rows, t.keys = now, keys
	return t.pieces(changed, gone, false)
}

// whole are the events that bring a browser there which has nothing, or something that is outdated.
func (t *table) whole() []message {
	rows := make([]row, len(t.keys))
	for i, key := range t.keys {
		rows[i] = row{key, t.rows[key]}
	}
	return t.pieces(rows, nil, true)
}

// pieces makes events: {"reset":…,"rows":{key:row},"gone":[key]}.
func (t *table) pieces(rows []row, gone []string, reset bool) (all []message) {
	for reset || len(rows) > 0 || len(gone) > 0 {
		n, m := min(len(rows), rowsEach), min(len(gone), rowsEach)
		var text bytes.Buffer
		text.WriteString(`{"reset":` + strconv.FormatBool(reset) + `,"rows":[`)
		for i, r := range rows[:n] {
			if i > 0 {
				text.WriteByte(',')
			}
			fmt.Fprintf(&text, "[%s,%s]", line(r.key), r.data)
		}
		text.WriteString(`],"gone":`)
		text.Write(line(append([]string{}, gone[:m]...)))
		text.WriteByte('}')
		all = append(all, event(t.name, text.Bytes()))
		rows, gone, reset = rows[n:], gone[m:], false
	}
	return all
}

// tables are all of them, in the order in which they are told.
type tables struct{ pools, elements, sides, failovers, enrolled, drains table }

func newTables() *tables {
	return &tables{pools: table{name: "pools"}, elements: table{name: "elements"}, sides: table{name: "sides"},
		failovers: table{name: "failovers"}, enrolled: table{name: "registrations"}, drains: table{name: "drains"}}
}

// rowsOf makes rows of values.
func rowsOf[T any](values []T, key func(*T) string) []row {
	rows := make([]row, len(values))
	for i := range values {
		rows[i] = row{key(&values[i]), line(values[i])}
	}
	return rows
}

// update takes a view and returns what has changed.
func (t *tables) update(v *View) (all []message) {
	for _, part := range [][]message{
		t.pools.update(rowsOf(v.Pools, func(p *Pool) string { return p.Handle })),
		t.elements.update(rowsOf(v.Elements, func(e *Element) string { return e.Pool + "\x00" + e.Name })),
		t.sides.update(rowsOf(v.Sides, func(s *Side) string { return s.Side + "\x00" + s.Name })),
		t.failovers.update(rowsOf(v.Failovers, func(f *Failover) string {
			return fmt.Sprint(f.User, "\x00", f.Session, "\x00", f.Time.UnixNano())
		})),
		t.drains.update(rowsOf(v.Drains(), func(d *Drain) string { return d.Element })),
		t.enrolled.update(rowsOf(v.Enrolled, func(r *Registration) string { return r.Element + "\x00" + r.Pool + "\x00" + r.Source })),
	} {
		all = append(all, part...)
	}
	return all
}

// whole is all of it.
func (t *tables) whole() (all []message) {
	for _, one := range []*table{&t.pools, &t.elements, &t.sides, &t.failovers, &t.drains, &t.enrolled} {
		all = append(all, one.whole()...)
	}
	return all
}
