package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/poolproxy/poolproxy/cmd/poolproxy/terminal"
	"github.com/poolproxy/poolproxy/proxy"
)

// The most rows of the tables that people are shown; -json has all.
const (
	mostSessions  = 40
	mostFailovers = 10
)

// printStatus writes a status as tables for people. What is empty is left out.
func printStatus(w io.Writer, s *proxy.Status, now time.Time) {
	fmt.Fprintf(w, "poolproxy %s, running for %s\n", strings.Map(printable, s.Version), shortDuration(now.Sub(s.Started)))
	printReload(w, s.Reload, now)
	printChaos(w, s.Disturbances, now)
	printPools(w, s.Pools)
	printSources(w, s.Pools)
	printSides(w, s)
	printRegistrations(w, s.Registrations, now)
	printAssociations(w, s.Associations)
	printPaths(w, s.Associations)
	printSessions(w, s.Sessions, now)
	printNatives(w, s.Natives, now)
	printFailovers(w, s.Failovers, now)
	printPathChanges(w, s.PathChanges, now)
}

// printReload says when another configuration was taken, and why the last one was not.
func printReload(w io.Writer, s *proxy.ReloadStatus, now time.Time) {
	if s == nil {
		return
	}
	if s.Done != nil {
		fmt.Fprintf(w, "configuration reloaded %s ago\n", shortDuration(now.Sub(*s.Done)))
	}
	if s.Error != "" && s.Failed != nil {
		fmt.Fprintf(w, "THE LAST RELOAD FAILED %s ago, and has changed nothing: %s\n", shortDuration(now.Sub(*s.Failed)), strings.Map(printable, s.Error))
	}
}

// printChaos says, in a line, what is disturbed because somebody has asked for it.
func printChaos(w io.Writer, active []proxy.Disturbance, now time.Time) {
	if len(active) == 0 {
		return
	}
	var all []string
	for _, d := range active {
		all = append(all, fmt.Sprintf("%s of %s %s for %s more (%s)", d.Kind, d.Side, d.Name, shortDuration(max(0, d.Until.Sub(now))), d.ID))
	}
	fmt.Fprintf(w, "DISTURBED ON PURPOSE: %s\n", strings.Map(printable, strings.Join(all, ", ")))
}

// table writes a title and rows in columns, if there are rows.
func table(w io.Writer, title string, columns []string, rows [][]string) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{columns}, rows...) {
		for i, cell := range row {
			row[i] = strings.Map(printable, cell)
		}
		fmt.Fprintf(tabs, "  %s\n", strings.Join(row, "\t"))
	}
	tabs.Flush()
}

// printable keeps out of a table what would move the cursor: a failure's cause may be a peer's words.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

func printPools(w io.Writer, pools []proxy.PoolStatus) {
	var rows [][]string
	for _, p := range pools {
		for _, e := range p.Elements {
			state := "alive"
			if !e.Alive {
				state = "failed, " + plural(e.Failures, "time")
			}
			if e.Draining != "" {
				state += ", drained: " + e.Draining
			}
			rows = append(rows, []string{p.Handle, p.Policy, p.Mapping, e.Name, e.Address, state, fmt.Sprint(e.Sessions)})
		}
	}
	table(w, "Pools", []string{"POOL", "POLICY", "MAPPING", "ELEMENT", "ADDRESS", "STATE", "SESSIONS"}, rows)
}

// printSources writes where pools have their elements from, and how old that is which is known.
func printSources(w io.Writer, pools []proxy.PoolStatus) {
	var rows [][]string
	for _, p := range pools {
		if p.Source == nil {
			continue
		}
		told, state := "never told", "ok"
		if p.Source.Told != nil {
			told = shortDuration(p.Source.Age) + " old"
		}
		if p.Source.Error != "" {
			state = "fails: " + p.Source.Error
		}
		if p.Source.Alarm {
			state = "TOO OLD, " + state
		}
		rows = append(rows, []string{p.Handle, p.Source.Name, fmt.Sprint(len(p.Elements)), told, state})
	}
	table(w, "Sources", []string{"POOL", "SOURCE", "ELEMENTS", "KNOWLEDGE", "STATE"}, rows)
}

// printSides writes the pool_users and pool_elements of the process.
func printSides(w io.Writer, s *proxy.Status) {
	var users, elements [][]string
	for _, u := range s.Users {
		users = append(users, []string{u.Name, listens(u), u.Pool, u.Protocol, u.Ack, fmt.Sprint(u.Sessions), protectedShare(u)})
	}
	for _, e := range s.Elements {
		elements = append(elements, []string{e.Name, e.Listen, server(e), fmt.Sprint(e.Legs), fmt.Sprint(e.Held), health(e)})
	}
	table(w, "Pool users", []string{"NAME", "LISTEN", "POOL", "PROTOCOL", "ACK", "SESSIONS", "PROTECTED TRAFFIC"}, users)
	table(w, "Pool elements", []string{"NAME", "LISTEN", "SERVER", "LEGS", "HELD", "HEALTH"}, elements)
	printAddresses(w, s.Users)
}

func printAssociations(w io.Writer, associations []proxy.AssociationStatus) {
	var rows [][]string
	for _, a := range associations[:min(len(associations), mostSessions)] { // with native peers each session has one
		state := "up"
		if !a.Up {
			state = "coming up"
		}
		rows = append(rows, []string{a.Side, a.Name, a.Remote, cmp.Or(a.Peer, "-"), a.Mapping, state, fmt.Sprint(a.Sessions),
			orNone(a.RTT), orNone(a.RTO), orNone(a.HeartbeatRTT), fmt.Sprint(a.PMTU)})
	}
	table(w, sessionsTitle("Associations", len(associations)), []string{"SIDE", "NAME", "REMOTE", "PEER", "MAPPING", "STATE", "SESSIONS", "RTT", "RTO", "HEARTBEAT", "PMTU"}, rows)
}

// printPaths writes the paths of associations that know them.
func printPaths(w io.Writer, associations []proxy.AssociationStatus) {
	var rows [][]string
	for _, a := range associations[:min(len(associations), mostSessions)] {
		for _, p := range a.Paths {
			primary := ""
			if p.Primary {
				primary = "yes"
			}
			rows = append(rows, []string{a.Side, a.Name, a.Remote, p.Address, p.State, orNone(p.RTT), orNone(p.RTO), fmt.Sprint(p.PMTU), primary})
		}
	}
	table(w, "Paths", []string{"SIDE", "NAME", "REMOTE", "PATH", "STATE", "RTT", "RTO", "PMTU", "PRIMARY"}, rows)
}

func printSessions(w io.Writer, sessions []proxy.SessionStatus, now time.Time) {
	title := sessionsTitle("Sessions", len(sessions))
	var rows [][]string
	for _, s := range sessions[:min(len(sessions), mostSessions)] {
		rows = append(rows, []string{fmt.Sprint(s.ID), s.User, s.Client, cmp.Or(s.Element, "-"), fmt.Sprint(s.Leg), s.State,
			shortDuration(now.Sub(s.Since)), terminal.Bytes(s.FromClient), terminal.Bytes(s.ToClient), terminal.Bytes(s.Retained), fmt.Sprint(s.Outstanding),
			protection(s)})
	}
	table(w, title, []string{"ID", "POOL USER", "CLIENT", "ELEMENT", "LEG", "STATE", "AGE", "FROM CLIENT", "TO CLIENT", "RETAINED",
		"WAITING", "PROTECTION"}, rows)
}

// sessionsTitle says if not all of so many are shown.
func sessionsTitle(title string, n int) string {
	if n > mostSessions {
		title += fmt.Sprintf(" (%d of %d; -json shows all)", mostSessions, n)
	}
	return title
}

func printNatives(w io.Writer, sessions []proxy.NativeSession, now time.Time) {
	var rows [][]string
	for _, s := range sessions[:min(len(sessions), mostSessions)] {
		rows = append(rows, []string{fmt.Sprint(s.ID), s.Element, s.User, cmp.Or(s.Connection, "-"), s.State, shortDuration(now.Sub(s.Since)),
			terminal.Bytes(s.FromUser), terminal.Bytes(s.ToUser), terminal.Bytes(int64(s.Held)), fmt.Sprint(s.Outstanding), terminal.Bytes(int64(s.Cookie))})
	}
	table(w, sessionsTitle("Sessions of native pool users", len(sessions)), []string{"ID", "POOL ELEMENT", "POOL USER", "CONNECTION", "STATE",
		"AGE", "FROM USER", "TO USER", "HELD", "WAITING", "COOKIE"}, rows)
}

func printFailovers(w io.Writer, records []proxy.Record, now time.Time) {
	var rows [][]string
	for i := len(records) - 1; i >= max(0, len(records)-mostFailovers); i-- { // the newest first
		r := records[i]
		rows = append(rows, []string{shortDuration(now.Sub(r.Time)) + " ago", r.User, fmt.Sprint(r.Session), r.Kind,
			cmp.Or(r.From, "-"), cmp.Or(r.To, "-"), orNone(r.Connect), orNone(r.First), plural(r.Messages, "message") + ", " + terminal.Bytes(r.Bytes),
			terminal.Bytes(r.Skipped), why(r)})
	}
	table(w, "Recent failovers", []string{"WHEN", "POOL USER", "SESSION", "KIND", "FROM", "TO", "CONNECT", "FIRST REPLY", "REPLAYED",
		"DISCARDED", "WHY"}, rows)
}

func printPathChanges(w io.Writer, changes []proxy.PathChange, now time.Time) {
	var rows [][]string
	for i := len(changes) - 1; i >= max(0, len(changes)-mostFailovers); i-- { // the newest first
		c := changes[i]
		rows = append(rows, []string{shortDuration(now.Sub(c.Time)) + " ago", c.Side, c.Name, c.Remote, c.Path, c.State})
	}
	table(w, "Recent changes of paths", []string{"WHEN", "SIDE", "NAME", "REMOTE", "PATH", "STATE"}, rows)
}

// health is what the health check has found.
func health(e proxy.ElementStatus) string {
	switch e.Health {
	case "":
		return "not checked"
	case "healthy":
		return e.Health
	}
	return "unhealthy: " + e.Health
}

// orNone is a measured duration, or "-" where nothing was measured.
func orNone(d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return shortDuration(d)
}

// shortDuration writes a duration in two or three digits and one unit: 850µs, 12.3ms, 4.5s, 7m, 3h, 12d.
func shortDuration(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%.3gms", float64(d)/float64(time.Millisecond))
	case d < time.Minute:
		return fmt.Sprintf("%.3gs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// why is how a failure was noticed, and for a session that ended the verdict.
func why(r proxy.Record) string {
	if r.Verdict == "" {
		return r.Cause
	}
	return r.Cause + "; " + r.Verdict
}

// protectedShare is how much of what clients have sent was protected, in messages where the protocol knows them.
func protectedShare(u proxy.UserStatus) string {
	protected, all, what := u.ProtectedMessages, u.ProtectedMessages+u.UnprotectedMessages, "messages"
	if all == 0 {
		protected, all, what = u.ProtectedBytes, u.ProtectedBytes+u.UnprotectedBytes, "bytes"
	}
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%% of %d %s", 100*float64(protected)/float64(all), all, what)
}

// protection is whether a session would survive its server, and if not, why.
func protection(s proxy.SessionStatus) string {
	text := s.Protection
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	if s.AckNote != "" {
		text += " (" + s.AckNote + ")"
	}
	return text
}
