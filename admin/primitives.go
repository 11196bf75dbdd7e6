package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/pool"
)

const (
	maxAsked = 16 << 10 // bytes of a request's body

	// askTime is how long a source may take for a request, refreshing or registering. Clients should wait a little longer.
	askTime = 5 * time.Second
)

// Answer is that of GET /v1/pools/{handle}/primary and POST /v1/pools/{handle}/next.
type Answer struct {
	Pool     string         `json:"pool"`
	Element  string         `json:"element"`
	Address  netip.AddrPort `json:"address"`
	Mapping  string         `json:"mapping"`            // none: a plain TCP server; tcp, sctp: a pool_element
	Source   string         `json:"source,omitempty"`   // that knows the pool's elements; left out: the configuration
	Age      time.Duration  `json:"age_ns"`             // of what is known; 0 without source
	Same     bool           `json:"same"`               // of next: there is no other than the last one
	Reported bool           `json:"reported"`           // of next: the last one is an element of the pool, and is reported as failed
	Warning  string         `json:"warning,omitempty"`  // what went wrong on the way to this answer
	Weak     ErrorCode      `json:"weakness,omitempty"` // the code of that
}

// Registration is the body of POST /v1/registrations; ID and what is behind it are set in answers only.
type Registration struct {
	Pool        string     `json:"pool"`
	Element     string     `json:"element"`     // its name; "": its address
	Address     string     `json:"address"`     // IP:PORT
	Mapping     string     `json:"mapping"`     // none, tcp, sctp; "": that of the pool
	Policy      string     `json:"policy"`      // as the element knows it; "": that of the pool
	Weight      *uint32    `json:"weight"`      // null: 1
	Priority    *uint32    `json:"priority"`    // null: 0
	Load        *uint32    `json:"load"`        // 4294967295 is 100 %
	Degradation *uint32    `json:"degradation"` // likewise
	ID          string     `json:"id,omitempty"`
	Source      string     `json:"source,omitempty"` // that it is registered at; "": in this process
	Since       *time.Time `json:"since,omitempty"`
	Standing    string     `json:"standing,omitempty"` // "registered", or why it is not now and is tried again
}

// Next is the body of POST /v1/pools/{handle}/next.
type Next struct {
	Last    string `json:"last"`    // name or address of the server that has failed
	Refresh bool   `json:"refresh"` // ask the pool's source first
}

// primitives serves the service primitives of nameservice mode.
type primitives struct {
	h   *handlespace.Handlespace
	log hclog.Logger
}

func (p *primitives) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/pools/{handle}/primary", p.primary)
	mux.HandleFunc("POST /v1/pools/{handle}/next", p.next)
	mux.HandleFunc("POST /v1/registrations", p.register)
	mux.HandleFunc("GET /v1/registrations", p.list)
	mux.HandleFunc("DELETE /v1/registrations/{id}", p.deregister)
}

func (p *primitives) primary(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	s, err := p.h.PrimaryServer(ctx, r.PathValue("handle"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, server(s))
}

func (p *primitives) next(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	var n Next
	if err := read(w, r, &n); err != nil {
		fail(w, err)
		return
	}
	if n.Last == "" {
		fail(w, bad(`"last" is missing: say which server has failed, by its name or address`))
		return
	}
	s, err := p.h.NextServer(ctx, r.PathValue("handle"), n.Last, n.Refresh)
	if err != nil {
		fail(w, err)
		return
	}
	to := server(s)
	to.Reported = !s.Unreported
	answer(w, http.StatusOK, to)
}

// server makes an answer of what the handlespace says.
func server(s handlespace.Server) Answer {
	to := Answer{Pool: s.Handle, Element: s.Name, Address: s.Address, Mapping: s.Mapping, Source: s.Source, Age: s.Age, Same: s.Same}
	if s.Err != nil {
		to.Warning, to.Weak = s.Err.Error(), codeOf(s.Err)
	}
	return to
}

func (p *primitives) register(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	var asked Registration
	if err := read(w, r, &asked); err != nil {
		fail(w, err)
		return
	}
	registration, err := p.made(&asked)
	if err != nil {
		fail(w, err)
		return
	}
	id, err := p.h.Register(ctx, registration)
	if err != nil {
		fail(w, err)
		return
	}
	p.log.Info("an element was registered", "pool", registration.Handle, "element", registration.Element.Name, "address", registration.Element.Address)
	for _, k := range p.h.Registrations() {
		if k.ID == id {
			answer(w, http.StatusCreated, kept(k))
			return
		}
	}
	fail(w, fmt.Errorf("the registration has ended at once: %w", handlespace.ErrUnknownID)) // somebody has seen its id in the list
}

func (p *primitives) list(w http.ResponseWriter, _ *http.Request) {
	all := []Registration{}
	for _, k := range p.h.Registrations() {
		all = append(all, kept(k))
	}
	answer(w, http.StatusOK, all)
}

func (p *primitives) deregister(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), askTime)
	defer cancel()
	was, err := p.h.Deregister(ctx, r.PathValue("id"))
	if was.Handle != "" {
		p.log.Info("an element was deregistered", "pool", was.Handle, "element", was.Element.Name, "address", was.Element.Address)
	}
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, told(was))
}

// read reads a body of JSON: all of it, and nothing else.
func read(w http.ResponseWriter, r *http.Request, to any) error {
	// A web page cannot send this type to another origin without asking first, which it is not allowed.
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &Refusal{http.StatusUnsupportedMediaType, errors.New("the body must be JSON, and say so: Content-Type: application/json")}
	}
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAsked))
	in.DisallowUnknownFields()
	err := in.Decode(to)
	if err == nil {
		if _, err = in.Token(); err == nil {
			err = errors.New("there is something behind it")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return &Refusal{http.StatusRequestEntityTooLarge, fmt.Errorf("the body is too long: at most %d bytes are taken", maxAsked)}
	case err != nil:
		return bad("the body is not what is asked for: %.300s", err)
	}
	return nil
}

// answer answers with a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		http.Error(w, "the answer cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) // an error is the client's: it has gone
}

// made makes a registration of what was asked for.
func (p *primitives) made(a *Registration) (r pool.Registration, err error) {
	if a.ID != "" || a.Source != "" || a.Since != nil || a.Standing != "" {
		return r, bad("id, source, since and standing are for answers: leave them out")
	}
	policy, err := p.h.Policy(a.Pool)
	if err != nil {
		return r, err
	}
	r = pool.Registration{Handle: a.Pool, Policy: policy}
	if a.Policy != "" {
		if r.Policy, err = pool.ParsePolicy(a.Policy); err != nil {
			return r, bad("%v", err)
		}
	}
	if r.Element, err = a.made(r.Policy); err != nil {
		return r, err
	}
	return r, nil
}

// made makes an element, with the values that a policy needs.
func (a *Registration) made(policy pool.Policy) (e pool.Element, err error) {
	if e.Address, err = netip.ParseAddrPort(a.Address); err != nil {
		return e, bad("address %.100q is no address: write the server's IP address and port, as in 10.0.0.11:7001", a.Address)
	}
	e.Address = netip.AddrPortFrom(e.Address.Addr().Unmap(), e.Address.Port())
	e.Name, e.Mapping, e.Weight = a.Element, a.Mapping, 1
	if e.Name == "" {
		e.Name = e.Address.String()
	}
	for _, value := range []struct {
		name string
		from *uint32
		to   *uint32
	}{{"weight", a.Weight, &e.Weight}, {"priority", a.Priority, &e.Priority}, {"load", a.Load, &e.Load}, {"degradation", a.Degradation, &e.Degradation}} {
		switch needed := policy.Reads(value.name); {
		case value.from == nil && needed && (value.name == "load" || value.name == "degradation"):
			return e, bad("policy %v needs the element's %s: say what it is", policy, value.name)
		case value.from != nil && !policy.Reads(value.name):
			return e, bad("%s has no effect under policy %v: leave it out", value.name, policy)
		case value.from != nil:
			*value.to = *value.from
		}
	}
	return e, nil
}

// told is a registration as others see it.
func told(r pool.Registration) Registration {
	e := r.Element
	return Registration{Pool: r.Handle, Element: e.Name, Address: e.Address.String(), Mapping: e.Mapping, Policy: r.Policy.String(),
		Weight: &e.Weight, Priority: &e.Priority, Load: &e.Load, Degradation: &e.Degradation}
}

// kept is one that is kept up.
func kept(k handlespace.Kept) Registration {
	r := told(k.Registration)
	r.ID, r.Source, r.Since, r.Standing = k.ID, k.Source, &k.Since, "registered"
	if k.Err != nil {
		r.Standing = k.Err.Error()
	}
	return r
}
