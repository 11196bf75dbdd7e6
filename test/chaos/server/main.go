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
	return (&workload.Server{Kind: k, Journal: j, Holds: workload.Holds{Dir: *holds}}).Serve(l)
}
