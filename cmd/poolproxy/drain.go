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
)

const (
	drainTimeout = time.Minute
	drainLook    = 200 * time.Millisecond // between two looks at who is left
)

// drains are the drains of a proxy for the admin API.
func drains(p running) *admin.Drains {
	known := func(err error) error {
		if errors.Is(err, proxy.ErrNoElement) {
			return fmt.Errorf("%w: %w", admin.ErrUnknownElement, err)
		}
		return err
	}
	return &admin.Drains{
		Begin: func(element string) error { return known(p.Drain(element)) },
		End:   func(element string) error { return known(p.Undrain(element)) },
		State: func(element string) (any, error) {
			d, err := p.Draining(element)
			return d, known(err)
		},
	}
}

// drainCommand has the sessions of an element leave it, and waits until they have.
func drainCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("drain", stdout, stderr, "ELEMENT")
	timeout := p.flags.Duration("timeout", drainTimeout, "how long to wait until its sessions have left; 0: not at all")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	if *timeout < 0 {
		return p.wrong("-timeout is negative")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	path := "/v1/drains/" + url.PathEscape(words[0])
	d, raw, err := p.drained(http.MethodPut, path)
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for err == nil && left(&d) > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
			d, raw, err = p.drained(http.MethodGet, path)
		}
	}
	switch {
	case err != nil:
		return p.fail(err)
	case *p.asJSON:
		p.stdout.Write(raw)
	default:
		printDraining(p.stdout, &d, time.Now())
	}
	if left(&d) > 0 && *timeout > 0 {
		return exitFailed
	}
	return exitOK
}

// drained asks for the state of a drain, or changes it.
func (p *primitive) drained(method, path string) (d proxy.Draining, raw []byte, err error) {
	raw, err = askAdmin(context.Background(), *p.address, method, path, nil)
	if err == nil {
		if err = json.Unmarshal(raw, &d); err != nil {
			err = fmt.Errorf("the answer of %s is not what was asked for; is it the admin API of a poolproxy of this version? %w", *p.address, err)
		}
	}
	return d, raw, err
}

// left is how many have not left the element.
func left(d *proxy.Draining) int { return max(len(d.Sessions), d.Legs) }

// printDraining says who is left, and why.
func printDraining(w io.Writer, d *proxy.Draining, now time.Time) {
	name := strings.Map(printable, d.Element)
	if left(d) == 0 {
		fmt.Fprintf(w, "%s is drained: no session is left\n", name)
		return
	}
	fmt.Fprintf(w, "%s gets no new sessions; %s left\n", name, plural(left(d), "session"))
	if d.Legs > len(d.Sessions) {
		fmt.Fprintln(w, "  of its pool users' sidecars, which know why: ask them (poolproxy status, or drain, with -admin)")
	}
	var rows [][]string
	for _, s := range d.Sessions[:min(len(d.Sessions), mostSessions)] {
		rows = append(rows, []string{fmt.Sprint(s.ID), s.User, s.Client, shortDuration(now.Sub(s.Since)), s.Reason})
	}
	table(w, "Sessions that are left", []string{"ID", "POOL USER", "CLIENT", "AGE", "BECAUSE"}, rows)
}

// undrainCommand has an element get sessions again.
func undrainCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("undrain", stdout, stderr, "ELEMENT")
	words, status, ok := p.parse(args)
	if !ok {
		return status
	}
	var d proxy.Draining
	return p.ask(http.MethodDelete, "/v1/drains/"+url.PathEscape(words[0]), nil, &d, func() {
		fmt.Fprintf(p.stdout, "%s gets sessions again\n", strings.Map(printable, d.Element))
		if d.Draining {
			p.note("not yet: it has itself asked to be drained")
		}
	})
}
