package upgrade

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Successor is the new process, as the old one sees it: Start, Ready, then, while the old one stands still, Send for each item and Commit. After
// any error but ErrTaken it is to be Killed, and the old one goes on. Its methods are for one goroutine.
type Successor struct {
	cmd   *exec.Cmd
	w     *wire
	ended chan struct{} // closed when the process has ended
	err   error         // how; to be read behind that
	items int
}

// Start starts the program and tells it who it is to follow, where it is to listen, and begin, with which it can prepare.
func Start(c Command, sockets []Socket, begin []byte) (*Successor, error) {
	w, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	s := &Successor{w: w, ended: make(chan struct{}), cmd: &exec.Cmd{Path: c.Path, Args: c.Args, Stdout: c.Stdout, Stderr: c.Stderr,
		ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setpgid: true}}} // until it takes over: see signal
	s.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, Variable+"=") }), Variable+"=3")
	if err := s.cmd.Start(); err != nil {
		w.close()
		return nil, fmt.Errorf("upgrade: cannot start %s: %w", c.Path, err)
	}
	go s.wait()
	text, err := json.Marshal(hello{Version: Version, Poolproxy: c.Version, PID: os.Getpid()})
	if err == nil {
		err = s.introduce(text, sockets, begin)
	}
	if err != nil {
		err = s.why(err)
		s.Kill()
		return nil, err
	}
	return s, nil
}

// wait is a goroutine. It ends with the new process, for which Kill waits; after Commit nobody does.
func (s *Successor) wait() {
	s.err = s.cmd.Wait()
	close(s.ended)
}

// introduce gives a process that reads nothing as long as the socket takes it: that is much more than this.
func (s *Successor) introduce(hello []byte, sockets []Socket, begin []byte) error {
	s.w.within(time.Now().Add(TakeTime))
	err := s.w.send(frame{kind: kindHello, body: hello})
	for _, socket := range sockets {
		text, errJSON := json.Marshal(socket)
		err = errors.Join(err, errJSON)
		if err == nil {
			err = s.w.send(frame{kind: kindSocket, body: text, fds: []int{socket.FD}})
		}
	}
	if err == nil {
		err = s.w.send(frame{kind: kindBegin, body: begin})
	}
	if err == nil {
		err = s.w.flush()
	}
	return err
}

// PID is the process's number.
func (s *Successor) PID() int { return s.cmd.Process.Pid }

// GiveUp ends the new process before it is Ready, from any goroutine: Ready returns an error then.
func (s *Successor) GiveUp() { s.signal() }

// signal ends the new process, and those that it has started, if it is a script: they would go on, and write to this one's log. Who has ended
// is left alone: his number may be another's.
func (s *Successor) signal() {
	select {
	case <-s.ended:
		return
	default:
	}
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	_ = s.cmd.Process.Kill() // it may have ended meanwhile
}

// Ready waits until the new process could serve: it has read its configuration and listens.
func (s *Successor) Ready(deadline time.Time) error {
	s.w.within(deadline)
	if _, err := s.expect(kindReady); err != nil {
		return err
	}
	s.w.within(time.Now().Add(TakeTime)) // the transfer begins
	return nil
}

// Send hands something over. The descriptor stays the caller's, and must stay open until Commit.
func (s *Successor) Send(item Item) error {
	f := frame{kind: kindItem, body: item.Body}
	if item.FD >= 0 {
		f.fds = []int{item.FD}
	}
	s.items++
	if err := s.w.send(f); err != nil {
		return s.why(err)
	}
	return nil
}

// Commit waits until the new process has everything, and has it take over. After nil, and after ErrTaken, it serves, or may have begun to: nothing
// that was handed over may be touched any more. After other errors it has touched nothing, is dead, and never will.
func (s *Successor) Commit() error {
	err := s.w.send(frame{kind: kindEnd, body: count(s.items)})
	if err == nil {
		err = s.w.flush()
	}
	if err != nil {
		return s.why(err)
	}
	thawed, err := s.expect(kindThawed)
	if err == nil {
		err = checkCount(thawed.body, s.items)
	}
	if err == nil {
		s.w.within(time.Now().Add(takenTime))
		if err = s.w.send(frame{kind: kindGo}); err == nil {
			err = s.w.flush()
		}
	}
	if err != nil {
		return err
	}
	return s.taken()
}

// taken waits for the word by which the new process takes over. If it does not come, the process is killed; if it was said before that,
// it may have begun to serve.
func (s *Successor) taken() error {
	_, err := s.expect(kindTaken)
	if err == nil {
		s.w.close()
		return nil
	}
	if !s.kill() {
		return fmt.Errorf("%w, or not: it cannot be killed, and does not say: %w", ErrTaken, err)
	}
	s.w.within(time.Now().Add(takenTime))
	if _, late := s.expect(kindTaken); late == nil { // what a process has said is there when it is gone
		return fmt.Errorf("%w, and was killed, because it had not said so in time", ErrTaken)
	}
	return err
}

// expect waits for one word.
func (s *Successor) expect(want kind) (frame, error) {
	f, err := s.w.receive()
	switch {
	case err != nil:
		return f, s.why(err)
	case f.kind == kindFailed:
		return f, fmt.Errorf("the new process gives up: %s", printable(f.body))
	case f.kind != want:
		return f, fmt.Errorf("%w: it says %d where %d is due", ErrProtocol, f.kind, want)
	}
	return f, nil
}

// why says what has become of the new process, if it is that which an error is about.
func (s *Successor) why(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the new process did not answer in time")
	}
	if f, errRead := s.w.receive(); errRead == nil && f.kind == kindFailed { // it has said why it does not listen any more
		return fmt.Errorf("the new process gives up: %s", printable(f.body))
	}
	select {
	case <-s.ended:
	case <-time.After(killedTime / 10): // an end of the conversation that is no end of the process
		return fmt.Errorf("the new process has ended the conversation: %w", err)
	}
	if s.err == nil {
		return errors.New("the new process has ended (exit status 0) before it had taken over: is it a poolproxy that can upgrade?")
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the new process has ended before it had taken over: %w", s.err)
	}
	return fmt.Errorf("the new process has ended before it had taken over: %w (%w)", s.err, err)
}

// printable is what the other process says, for people: bounded, one line.
func printable(p []byte) string {
	const most = 2000
	return string(bytes.ToValidUTF8(bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, p[:min(len(p), most)]), nil))
}

// kill ends the process, and reports whether it has.
func (s *Successor) kill() bool {
	s.signal()
	select {
	case <-s.ended:
		return true
	case <-time.After(killedTime):
		return false
	}
}

// Kill ends the new process at once, and the conversation. Twice is harmless.
func (s *Successor) Kill() {
	s.kill()
	s.w.close()
}
