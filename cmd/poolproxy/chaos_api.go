package main

import (
	"errors"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
)

// chaosErrors are the proxy's errors as the admin API knows them.
var chaosErrors = map[error]error{
	proxy.ErrChaosRequest: admin.ErrChaosRequest, proxy.ErrChaosDenied: admin.ErrChaosDenied,
	proxy.ErrChaosUnknown: admin.ErrChaosUnknown, proxy.ErrChaosNothing: admin.ErrChaosNothing,
}

// chaosError is an error of the proxy that the admin API knows as one of its own.
type chaosError struct {
	error
	is error
}

// Is is for errors.Is.
func (e *chaosError) Is(target error) bool { return target == e.is }

// Unwrap is for errors.Is, too.
func (e *chaosError) Unwrap() error { return e.error }

// chaosAPI is how a proxy is disturbed by the admin API.
func chaosAPI(p running) *admin.Chaos {
	known := func(err error) error {
		for its, ours := range chaosErrors {
			if errors.Is(err, its) {
				return &chaosError{err, ours}
			}
		}
		return err
	}
	return &admin.Chaos{
		State: func() any { return p.Chaos() },
		Begin: func(a admin.Attack) (any, error) {
			d, err := p.Disturb(proxy.Attack{Kind: a.Kind, Side: a.Side, Name: a.Name, Element: a.Element, Session: a.Session, Count: a.Count,
				For: time.Duration(a.For), Delay: time.Duration(a.Delay), DryRun: a.DryRun, Seed: a.Seed})
			return d, known(err)
		},
		End: func(id string) error { return known(p.Undisturb(id)) },
	}
}
