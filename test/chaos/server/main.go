// Command server is a server of internal/workload as a process of its own: what `poolproxy chaos serve` does, in a small binary that is started
// again within milliseconds, because the tests in the folder above kill it many times a second.
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/poolproxy/poolproxy/internal/workload"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// serve serves until the process is killed.
func serve() error {
	kind := flag.String("kind", "line", "the protocol")
	listen := flag.String("listen", "", "host:port")
	journal := flag.String("journal", "", "where it writes what it carries out")
	holds := flag.String("holds", "", "the folder of workload.Holds")
	name := flag.String("name", "", "in the journal")
	differs := flag.Bool("differs", false, "reply with other content than those who do not: h for g, and g for h")
	flag.Parse()
	k, err := workload.ParseKind(*kind)
	if err != nil {
		return err
	}
	j, err := workload.OpenJournal(*journal, *name, k)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if *differs {
		l = differing{l}
	}
	return (&workload.Server{Kind: k, Journal: j, Holds: workload.Holds{Dir: *holds}}).Serve(l)
}

// differing is a listener whose connections write g where others write h. No protocol of text has these letters in heads of replies.
type differing struct{ net.Listener }

func (d differing) Accept() (net.Conn, error) {
	conn, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return swapping{conn}, nil
}

type swapping struct{ net.Conn }

func (s swapping) Write(p []byte) (int, error) {
	swapped := make([]byte, len(p))
	for i, b := range p {
		switch b {
		case 'g':
			b = 'h'
		case 'h':
			b = 'g'
		}
		swapped[i] = b
	}
	return s.Conn.Write(swapped)
}
