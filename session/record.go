package session

// notice begins the record of a failover, if none is going on.
func (s *Session) notice(f failure) {
	if s.record != nil && s.recordOf != s.legs && s.leg != nil && s.leg.open && s.leg.restore == nil {
		s.record.To = s.from
		s.report("") // that of the leg before: this one has carried the session since
	}
	if s.record != nil {
		return
	}
	s.recordOf = s.legs
	s.record = &Record{Time: s.u.c.Loop.Now(), Session: s.ID, From: s.from, Cause: f.cause, Detector: f.detector, Kind: KindMoved}
	if f.detector == "reply timeout" {
		s.record.Detect = s.u.c.Failover.ReplyTimeout
	}
}

// replayed notes that everything that was sent before has been sent again.
func (s *Session) replayed() {
	if s.record != nil {
		s.record.Replayed = s.u.c.Loop.Now().Sub(s.record.Time)
	}
}

// reportAs reports a failover that was neither a move nor the end.
func (s *Session) reportAs(kind, verdict string) {
	s.notice(failure{cause: verdict, detector: "silence"})
	s.record.Kind, s.record.Verdict = kind, verdict
	s.report(verdict)
}

// report hands the record of the failover to the trace and forgets it.
func (s *Session) report(verdict string) {
	r := s.record
	if r == nil {
		return
	}
	s.record = nil
	r.Leg = s.legs
	if verdict != "" && r.Kind != KindAnswered {
		r.Verdict, r.Kind = verdict, KindEnded
		if s.lastCause != "" && s.lastCause != r.Cause && s.lastCause != verdict {
			r.Verdict += "; the last try: " + s.lastCause
		}
	}
	if s.leg != nil {
		if s.leg.link != nil {
			r.To = s.leg.link.element.Name
		}
		if j := s.leg.joiner; j != nil {
			r.Skipped, r.Saved = j.Skipped(), j.Saved()
		}
		if s.leg.verifier != nil {
			r.Skipped = s.leg.verifier.Compared()
		}
	}
	if r.Kind != KindEnded {
		s.life.survived()
	}
	if s.u.c.Trace.Failover != nil {
		s.u.c.Trace.Failover(*r)
	}
}
