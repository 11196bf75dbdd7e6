package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Predecessor is the old process, as the new one sees it: Follow, Ready, then Next for each item and Take. After an error the new process has to
// end, with Fail, and touch nothing of what it was given. Its methods are for one goroutine.
type Predecessor struct {
	w       *wire
	Version string   // of its program
	PID     int      // its number
	Sockets []Socket // on which it listens; the caller's
	Begin   []byte   // what it gave to prepare with
	items   int
}

// introduceTime is how long the old process may need to introduce itself. It has done that before this one begins.
const introduceTime = 10 * time.Second

// Follow takes up the conversation with the process that started this one for its place; nil: none did. It is called once, at the start: programs
// that are started later are not to know of it.
func Follow() (*Predecessor, error) {
	text, is := os.LookupEnv(Variable)
	if !is {
		return nil, nil
	}
	os.Unsetenv(Variable)
	fd, err := strconv.Atoi(text)
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("upgrade: %s=%q is no descriptor", Variable, text)
	}
	unix.CloseOnExec(fd)
	w, err := newWire(fd)
	if err != nil {
		return nil, err
	}
	p := &Predecessor{w: w}
	w.within(time.Now().Add(introduceTime))
	if err := p.meet(); err != nil {
		err = p.why(err)
		p.Fail(err)
		return nil, err
	}
	w.within(time.Time{}) // the old one knows how long it waits
	return p, nil
}

func (p *Predecessor) meet() error {
	for {
		f, err := p.w.receive()
		if err != nil {
			return err
		}
		switch f.kind {
		case kindHello:
			err = p.met(f.body)
		case kindSocket:
			err = p.socket(f)
		case kindBegin:
			p.Begin = append([]byte(nil), f.body...)
			return nil
		default:
			err = fmt.Errorf("%w: it begins with %d", ErrProtocol, f.kind)
		}
		if err != nil {
			return err
		}
	}
}

func (p *Predecessor) met(body []byte) error {
	var h hello
	if err := json.Unmarshal(body, &h); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if h.Version != Version {
		return fmt.Errorf("%w: the process that runs (poolproxy %s) speaks version %d, this one (poolproxy to be) version %d: it has to be restarted",
			ErrProtocol, h.Poolproxy, h.Version, Version)
	}
	p.Version, p.PID = h.Poolproxy, h.PID
	return nil
}

func (p *Predecessor) socket(f frame) error {
	var s Socket
	if len(f.fds) != 1 {
		return fmt.Errorf("%w: a socket without a descriptor", ErrProtocol)
	}
	s.FD = f.fds[0]
	if err := json.Unmarshal(f.body, &s); err != nil {
		unix.Close(f.fds[0])
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	p.Sockets = append(p.Sockets, s)
	return nil
}

// Ready tells the old process that this one could serve. From here on it stands still.
func (p *Predecessor) Ready() error { return p.say(frame{kind: kindReady}) }

// Next returns what is handed over; ok is false behind the last one. The body is valid until the next call, the descriptor the caller's.
func (p *Predecessor) Next() (item Item, ok bool, err error) {
	f, err := p.w.receive()
	switch {
	case err != nil:
		return Item{}, false, p.why(err)
	case f.kind == kindEnd:
		return Item{}, false, checkCount(f.body, p.items)
	case f.kind != kindItem:
		return Item{}, false, fmt.Errorf("%w: %d among the items", ErrProtocol, f.kind)
	}
	p.items++
	item = Item{Body: f.body, FD: -1}
	if len(f.fds) > 0 {
		item.FD = f.fds[0]
	}
	return item, true, nil
}

// Take says that everything is here, waits until the old process has given it up, and takes over: after nil this process serves.
func (p *Predecessor) Take() error {
	if err := p.say(frame{kind: kindThawed, body: count(p.items)}); err != nil {
		return err
	}
	f, err := p.w.receive()
	if err != nil {
		return fmt.Errorf("upgrade: the old process does not give up its place: %w", p.why(err))
	}
	if f.kind != kindGo {
		return fmt.Errorf("%w: %d in place of its last word", ErrProtocol, f.kind)
	}
	if group, err := unix.Getpgid(p.PID); err == nil { // who ends that one's group means whoever serves
		_ = unix.Setpgid(0, group) // a sandbox may forbid it: then it stays in its own
	}
	err = p.say(frame{kind: kindTaken})
	p.w.close()
	return err
}

// Fail tells the old process why this one gives up, which has to end then.
func (p *Predecessor) Fail(why error) {
	_ = p.say(frame{kind: kindFailed, body: []byte(why.Error())}) // it will see that this one ends
	p.w.close()
}

func (p *Predecessor) say(f frame) error {
	return p.why(errors.Join(p.w.send(f), p.w.flush()))
}

// why says what has become of the old process, if it is that which an error is about.
func (p *Predecessor) why(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return fmt.Errorf("upgrade: the old process (%d) has ended before this one had taken over: %w", p.PID, err)
	}
	return err
}
