package handlespace

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/poolproxy/poolproxy/pool"
)

// MaxName is the longest name of an element, in bytes.
const MaxName = 255

// mostPaths is how many further addresses an element may have: as many as ASAP has room for beside the first (package asap).
const mostPaths = 63

// mappings are the words for them.
var mappings = []string{"none", "tcp", "sctp"}

// check says what is wrong with a registration, whatever its source would say.
func (p *Pool) check(r pool.Registration) error {
	if r.Policy != p.Pool.Policy() {
		return fmt.Errorf("pool %q has policy %v, the registration %v: %w: register with that of the pool", r.Handle, p.Pool.Policy(), r.Policy, pool.ErrInconsistent)
	}
	e := r.Element
	at := e.Address.Addr()
	switch {
	case e.Name == "" || len(e.Name) > MaxName:
		return fmt.Errorf("%w: the element's name %s must have 1 to %d bytes", ErrInvalid, quote(e.Name), MaxName)
	case !utf8.ValidString(e.Name) || strings.ContainsFunc(e.Name, func(c rune) bool { return !unicode.IsPrint(c) }):
		return fmt.Errorf("%w: the element's name %s has characters that cannot be printed", ErrInvalid, quote(e.Name))
	case !e.Address.IsValid() || e.Address.Port() == 0 || at.IsUnspecified() || at.IsMulticast():
		return fmt.Errorf("%w: %s is no address at which one server is reached: write its IP address and port, as in 10.0.0.11:7001", ErrInvalid, e.Address)
	case e.Mapping != "" && !slices.Contains(mappings, e.Mapping):
		return fmt.Errorf("%w: there is no mapping %s: the mappings are %s", ErrInvalid, quote(e.Mapping), strings.Join(mappings, ", "))
	case p.SourceName == "" && p.Mapping != "" && e.Mapping != p.Mapping: // nobody but this process could find it
		return fmt.Errorf("%w: pool %q is reached by mapping %s, the element by %s", ErrInvalid, r.Handle, p.Mapping, e.Mapping)
	case len(e.Paths) > mostPaths:
		return fmt.Errorf("%w: %d further addresses, at most %d are taken", ErrInvalid, len(e.Paths), mostPaths)
	}
	if p.Refuses != nil {
		if err := p.Refuses(e); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return nil
}
