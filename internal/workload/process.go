package workload

import (
	"fmt"
	"io"
	"net"
)

// Process is a Server as the whole of a process: `poolproxy chaos serve`, and test/chaos/server, which starts faster.
type Process struct {
	Kind    string
	Listen  string // host:port; port 0 is any
	Journal string // a file; "": none is kept
	Name    string // in the journal
	Holds   string // a folder that servers of one machine share; "": holds happen every time. See Holds
}

// Serve listens, says so in one line to out ("listening on 127.0.0.1:4711"), and serves until something fails: whoever wants it to end kills it.
func (p Process) Serve(out io.Writer) error {
	kind, err := ParseKind(p.Kind)
	if err != nil {
		return err
	}
	if kind == Redis {
		return errNoServer
	}
	s := &Server{Kind: kind, Holds: Holds{p.Holds}}
	if p.Journal != "" {
		if s.Journal, err = OpenJournal(p.Journal, p.Name, kind); err != nil {
			return err
		}
		defer s.Journal.Close()
	}
	l, err := net.Listen("tcp", p.Listen)
	if err != nil {
		return fmt.Errorf("workload: %w", err)
	}
	defer l.Close()
	fmt.Fprintf(out, "listening on %v\n", l.Addr())
	return s.Serve(l)
}
