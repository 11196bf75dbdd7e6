package session

// Drain asks all pool users to move their sessions elsewhere, for a reason that their operators can read; those that begin an association
// later, too. Legs go on until they do, and are still taken: see Refuse.
func (e *Element) Drain(reason string) { e.drain(true, reason) }

// Undrain takes Drain back.
func (e *Element) Undrain() {
	if e.drains {
		e.drain(false, "")
	}
}

func (e *Element) drain(on bool, reason string) {
	e.drains, e.drainReason = on, reason
	for l := range e.links {
		if l.hello != nil {
			l.tellDrain()
		}
	}
}

// tellDrain tells a pool user that understands it.
func (l *elementLink) tellDrain() {
	if l.hello.version >= versionDrain {
		l.tell(control, &message{typ: typeDrain, drains: l.e.drains, text: l.e.drainReason})
	}
}
