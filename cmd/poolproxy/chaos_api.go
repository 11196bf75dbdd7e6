package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/proxy"
)

// chaosErrors are the proxy's errors as the admin API knows them.
var chaosErrors = map[error]error{
	proxy.ErrChaosRequest: admin.ErrChaosRequest, proxy.ErrChaosDenied: admin.ErrChaosDenied,
	proxy.ErrChaosUnknown: admin.ErrChaosUnknown, proxy.ErrChaosNothing: admin.ErrChaosNothing,
}

// chaosAPI is how a proxy is disturbed by the admin API.
func chaosAPI(p running) *admin.Chaos {
	known := func(err error) error {
		for its, ours := range chaosErrors {
			if errors.Is(err, its) {
				return fmt.Errorf("%w: %w", ours, err)
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
