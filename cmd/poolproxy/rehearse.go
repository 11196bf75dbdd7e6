package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
	"github.com/poolproxy/poolproxy/rehearse"
)

// rehearsals are the rehearsals of a proxy for the admin API.
func rehearsals(p running) func(context.Context, string, admin.Rehearse) (any, error) {
	return func(ctx context.Context, handle string, w admin.Rehearse) (any, error) {
		report, err := p.Rehearse(ctx, handle, proxy.RehearsalWish{Session: w.Session, Most: w.Sessions, Timeout: time.Duration(w.Timeout) * time.Millisecond})
		if errors.Is(err, proxy.ErrNotRehearsed) {
			err = fmt.Errorf("%w: %s", admin.ErrNotRehearsed, strings.TrimPrefix(err.Error(), proxy.ErrNotRehearsed.Error()+": "))
		}
		return report, err
	}
}

// rehearseCommand repeats what was recorded of sessions at the pool's element for rehearsals, and says what differs.
func rehearseCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("rehearse", stdout, stderr, "POOL")
	one := p.flags.Uint64("session", 0, "rehearse this `SESSION`, by its number in poolproxy status; by default those that are recorded")
	most := p.flags.Int("n", admin.DefaultRehearsals, "how many sessions at most, those with most messages first")
	timeout := p.flags.Duration("timeout", admin.DefaultRehearsalTime, "how long all of it may take")
	words, status, ok := p.parse(args)
	switch {
	case !ok:
		return status
	case *most < 1 || *most > admin.MaxRehearsals:
		return p.wrong("-n must be from 1 to %d", admin.MaxRehearsals)
	case *timeout < time.Millisecond || *timeout > admin.MaxRehearsalTime:
		return p.wrong("-timeout must be from 1ms to %v", admin.MaxRehearsalTime)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	wish := admin.Rehearse{Session: *one, Sessions: *most, Timeout: admin.Duration(timeout.Milliseconds())}
	code, text, err := callAdminFor(ctx, *timeout+adminTimeout, *p.address, http.MethodPost, "/v1/rehearsals/"+url.PathEscape(words[0]), wish)
	if err == nil {
		text, err = adminAnswer(*p.address, code, text)
	}
	var report proxy.RehearsalReport
	if err == nil {
		if err = json.Unmarshal(text, &report); err != nil {
			err = fmt.Errorf("the answer of %s is not what was asked for; is it the admin API of a poolproxy of this version? %w", *p.address, err)
		}
	}
	switch {
	case err != nil:
		return p.fail(err)
	case *p.asJSON:
		p.stdout.Write(text)
	default:
		printRehearsal(p.stdout, &report)
	}
	if !report.Works {
		return exitFailed
	}
	return exitOK
}

// printRehearsal is the report for people.
func printRehearsal(w io.Writer, r *proxy.RehearsalReport) {
	fmt.Fprintf(w, "pool %s, rehearsed at element %s (%s)\n", clean(r.Pool), clean(r.Element), clean(r.Address))
	for i := range r.Users {
		u := &r.Users[i]
		fmt.Fprintf(w, "\npool_user %s, protocol %s, replay = %q: ", clean(u.Name), clean(u.Protocol), u.Replay)
		if u.Works {
			fmt.Fprintln(w, "what was rehearsed would have come through a failover")
		} else {
			fmt.Fprintln(w, "what was rehearsed would not have come through a failover, or that is not known")
		}
		fmt.Fprintf(w, "  replay = \"session\": %s\n", clean(u.Session))
		if u.Unacked != "" {
			fmt.Fprintf(w, "  replay = \"unacked\": %s\n", clean(u.Unacked))
		}
		for _, note := range u.Notes {
			fmt.Fprintf(w, "  note: %s\n", clean(note))
		}
		printRehearsed(w, u)
		printKinds(w, u.Kinds)
	}
}

// clean is a text without what a terminal might obey.
func clean(s string) string { return strings.Map(printable, s) }

// printRehearsed lists the sessions.
func printRehearsed(w io.Writer, u *proxy.UserRehearsal) {
	var rows [][]string
	for _, s := range u.Sessions {
		rows = append(rows, []string{fmt.Sprint(s.ID), s.Client, fmt.Sprintf("%d of %d", s.Repeated, s.Messages), fmt.Sprint(s.Replies), fmt.Sprint(s.Different),
			shortDuration(s.Took), sessionNote(&s)})
	}
	table(w, fmt.Sprintf("Sessions (%d recorded)", u.Recorded), []string{"ID", "CLIENT", "MESSAGES", "REPLIES", "DIFFERENT", "TOOK", ""}, rows)
}

// sessionNote says why not all of a session was rehearsed.
func sessionNote(s *proxy.SessionRehearsal) string {
	switch {
	case s.Failed != "":
		return "failed: " + s.Failed
	case s.Stopped != "":
		return "up to here: " + s.Stopped
	}
	return ""
}

// printKinds lists the kinds of messages, and the first byte that differs of each.
func printKinds(w io.Writer, kinds []rehearse.Kind) {
	var rows [][]string
	for _, k := range kinds {
		rows = append(rows, []string{k.Kind, fmt.Sprint(k.Replies), fmt.Sprint(k.Same), fmt.Sprint(k.Different), joinedText(&k)})
	}
	table(w, "Replies by kind of message", []string{"KIND", "REPLIES", "SAME", "DIFFERENT", "JOINED"}, rows)
	for _, k := range kinds {
		d := k.First
		if d == nil {
			continue
		}
		fmt.Fprintf(w, "\n%s: byte %d of the reply to message %d of session %d (%s) differs", clean(k.Kind), d.Offset, d.Message, d.Session, clean(d.Request))
		if d.Cause != "" {
			fmt.Fprintf(w, ": %s", clean(d.Cause))
		}
		fmt.Fprintf(w, "\n  client    %s\n  rehearsal %s\n", clean(d.Client), clean(d.Rehearsal))
		if d.NotJoined != "" {
			fmt.Fprintf(w, "  had the client's been cut, it would not have been joined: %s\n", clean(d.NotJoined))
		}
	}
}

// joinedText is how many of the different replies would be joined.
func joinedText(k *rehearse.Kind) string {
	if k.Different == 0 {
		return "-"
	}
	return fmt.Sprint(k.Joined)
}
