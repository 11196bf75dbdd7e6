// Package terminal shows a running proxy on a terminal: what the dashboard shows, with the same views and words, drawn anew
// each second.
package terminal

import (
	"context"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/poolproxy/poolproxy/admin/board"
)

// What terminals are told (ECMA-48; xterm). Between begin and end those that know it draw nothing, so that nothing flickers.
const (
	open      = "\x1b[?1049h\x1b[?25l" // a screen of our own, no cursor
	shut      = "\x1b[?25h\x1b[?1049l"
	begin     = "\x1b[?2026h\x1b[H"
	end       = "\x1b[J\x1b[?2026l"
	clearLine = "\x1b[K"
)

const (
	every  = time.Second            // between two answers and the next question
	resize = 200 * time.Millisecond // between two looks at the terminal's size
)

// Is reports whether a file is a terminal.
func Is(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Ask asks the proxy.
type Ask func(context.Context) (board.View, error)

// answer is what became of a question.
type answer struct {
	view board.View
	err  error
}

// Run shows what ask tells on out, which has to be a terminal, until q or Ctrl-C comes from in, which may be no terminal, or
// ctx ends. What has an error is shown as that, and asked again: a proxy that is started anew is there again. The error is that
// the terminal cannot be used; the terminal is as before.
func Run(ctx context.Context, in, out *os.File, address string, ask Ask) error {
	keys := make(chan string)
	if Is(in) {
		was, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return err
		}
		defer term.Restore(int(in.Fd()), was)
		go read(in, keys)
	}
	if _, err := out.WriteString(open); err != nil {
		return err
	}
	defer out.WriteString(shut)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer)
	go question(ctx, ask, answers)
	w := &watcher{out: out, state: state{address: address}, colours: os.Getenv("NO_COLOR") == ""}
	return w.run(ctx, keys, answers)
}

// read passes on what is typed. It ends with the process: a terminal's read cannot be ended.
func read(in *os.File, keys chan<- string) {
	p := make([]byte, 256)
	for {
		n, err := in.Read(p)
		if n > 0 {
			keys <- string(p[:n])
		}
		if err != nil {
			return
		}
	}
}

// question asks again and again, until ctx ends. Nobody waits for it.
func question(ctx context.Context, ask Ask, answers chan<- answer) {
	for {
		v, err := ask(ctx)
		select {
		case answers <- answer{v, err}:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}

// watcher is what is on the screen.
type watcher struct {
	out     *os.File
	state   state
	look    look
	colours bool
	last    string // what was written
	width   int
	height  int
}

func (w *watcher) run(ctx context.Context, keys <-chan string, answers <-chan answer) error {
	ticks := time.NewTicker(resize)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-answers:
			w.state.take(a, time.Now())
		case typed := <-keys:
			for _, k := range parseKeys(typed) {
				if w.look.press(k, max(w.height-4, 1)) {
					return nil
				}
			}
		case <-ticks.C:
			if width, height, err := term.GetSize(int(w.out.Fd())); err == nil && width == w.width && height == w.height && w.state.problem == "" {
				continue // nothing is new; while there is a problem, its age is
			}
		}
		if err := w.draw(time.Now()); err != nil {
			return err
		}
	}
}

// take takes an answer.
func (s *state) take(a answer, now time.Time) {
	if a.err != nil {
		s.problem = a.err.Error()
		return
	}
	if s.view != nil && !s.view.Started.Equal(a.view.Started) {
		s.restarted = now
	}
	s.view, s.told, s.problem = &a.view, now, ""
}

// draw writes the screen, if it is another one than before, in one piece.
func (w *watcher) draw(now time.Time) error {
	width, height, err := term.GetSize(int(w.out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	if width != w.width || height != w.height {
		w.width, w.height, w.last = width, height, "" // the terminal has moved what was there
	}
	lines := screen(&w.state, &w.look, width-1, height, now, w.colours) // behind the last column nothing could be erased
	text := begin + strings.Join(lines, clearLine+"\r\n") + clearLine + end
	if text == w.last {
		return nil
	}
	w.last = text
	_, err = w.out.WriteString(text)
	return err
}
