package main

import (
	"time"

	"github.com/poolproxy/poolproxy/admin/board"
	"github.com/poolproxy/poolproxy/proxy"
)

// dashboard is a status as the dashboard shows it.
func dashboard(s proxy.Status, a proxy.Admin) board.View {
	v := board.View{Version: s.Version, Started: s.Started, Changes: changes(a)}
	for _, p := range s.Pools {
		showPool(&v, p)
	}
	for _, u := range s.Users {
		v.Sides = append(v.Sides, board.Side{Side: "pool_user", Name: u.Name, Listen: u.Listen, To: u.Pool, What: u.Protocol, Well: true, Sessions: u.Sessions})
	}
	for _, e := range s.Elements {
		v.Sides = append(v.Sides, board.Side{Side: "pool_element", Name: e.Name, Listen: e.Listen, To: e.Server, What: health(e),
			Well: e.Health == "" || e.Health == "healthy", Sessions: e.Legs, Held: e.Held, Drained: e.Drained})
	}
	for _, d := range s.Disturbances {
		for i := range v.Sides {
			if x := &v.Sides[i]; x.Side == d.Side && x.Name == d.Name {
				x.What, x.Well = x.What+", disturbed on purpose: "+d.Kind, false
			}
		}
	}
	for _, x := range s.Sessions {
		v.Sessions = append(v.Sessions, board.Session{ID: x.ID, User: x.User, Client: x.Client, Element: x.Element, Leg: x.Leg, State: x.State,
			Since: x.Since, Up: x.FromClient, Down: x.ToClient, Retained: x.Retained, Protection: x.Protection, Reason: x.Reason,
			Leaves: x.Leaves, Stays: x.Stays})
	}
	for _, r := range s.Failovers {
		v.Failovers = append(v.Failovers, showFailover(r))
	}
	for _, r := range s.Registrations {
		problem := r.Error
		if problem == "" {
			problem = r.LoadError
		}
		v.Enrolled = append(v.Enrolled, board.Registration{Element: r.Element, Pool: r.Pool, Source: r.Source, Name: r.Name, Address: r.Address,
			State: r.State, Since: r.Since, Problem: problem, Load: r.Load})
	}
	return v
}

// changes is who may drain from the page. Where there is no token nobody may: whoever is on this machine, or is forwarded to
// it, sees the page. The commands can be had there.
func changes(a proxy.Admin) string {
	switch {
	case a.TokenFile != "":
		return board.ChangesToken
	case a.TLS != nil && a.TLS.CA != "":
		return board.ChangesAll // they have shown a certificate
	}
	return ""
}

// showPool adds a pool and its elements.
func showPool(v *board.View, p proxy.PoolStatus) {
	shown := board.Pool{Handle: p.Handle, Policy: p.Policy, Mapping: p.Mapping, Elements: len(p.Elements)}
	for _, e := range p.Elements {
		v.Elements = append(v.Elements, board.Element{Pool: p.Handle, Name: e.Name, Address: e.Address, Alive: e.Alive, Failures: e.Failures,
			Sessions: e.Sessions, Load: e.Load, Draining: e.Draining})
		shown.Sessions += e.Sessions
		if e.Alive {
			shown.Alive++
		}
	}
	if p.Source != nil {
		shown.Source, shown.Alarm, shown.Problem = p.Source.Name, p.Source.Alarm, p.Source.Error
		if p.Source.Told != nil {
			age := p.Source.Age.Truncate(time.Second).Seconds()
			shown.Age = &age
		}
	}
	v.Pools = append(v.Pools, shown)
}

func showFailover(r proxy.Record) board.Failover {
	ms := func(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / float64(time.Millisecond) }
	return board.Failover{Time: r.Time, User: r.User, Session: r.Session, Leg: r.Leg, From: r.From, To: r.To, Kind: r.Kind, Cause: r.Cause,
		Detector: r.Detector, Detect: ms(r.Detect), Fence: ms(r.Fence), Choose: ms(r.Choose), Connect: ms(r.Connect), Restored: ms(r.Restored),
		Replayed: ms(r.Replayed), First: ms(r.First), Messages: r.Messages, Bytes: r.Bytes, Skipped: r.Skipped, Saved: r.Saved, Tried: r.Tried,
		Lost: r.Lost, Verdict: r.Verdict}
}
