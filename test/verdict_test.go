//go:build linux

package test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// judgedServer is a server of internal/workload.
func judgedServer(args []string) error {
	flags := flag.NewFlagSet("judged", flag.ContinueOnError)
	p := workload.Process{Kind: string(workload.Line)}
	flags.StringVar(&p.Listen, "listen", "", "address")
	flags.StringVar(&p.Journal, "journal", "", "file")
	flags.StringVar(&p.Name, "name", "", "in the journal")
	flags.StringVar(&p.Holds, "holds", "", "folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return p.Serve(os.Stdout)
}

// The verdict that everything rests on finds it when poolproxy itself carries something out twice, as unsafe = "replay" has it do; with the default
// the same death of a server, which has carried out a request and not answered it, is found to be as promised.
func TestVerdictFindsWhatIsRepeated(t *testing.T) {
	for unsafe, want := range map[string]int64{"refuse": 0, "replay": 1} {
		t.Run(unsafe, func(t *testing.T) {
			dir := t.TempDir()
			journal := filepath.Join(dir, "journal")
			server := func(name string) string {
				return fmt.Sprintf("judged -name %s -journal %s -holds %s", name, journal, dir)
			}
			f := launch(t, plan{
				mapping:  "tcp",
				protocol: `  protocol "line" {` + "\n" + `safe = ["^GET "]` + "\n" + `lost = "ERR lost\n"` + "\n}",
				failover: "    unsafe = \"" + unsafe + `"`,
				servers:  []string{server("a"), server("b")},
			})
			c := workload.Client{Kind: workload.Line, Address: f.listen, Session: 1, Timeout: patience, Next: func(n uint64) (workload.Request, bool) {
				r := workload.Request{Size: 1000, Unsafe: n%2 == 0}
				if n == 4 {
					r.Hold = workload.Hold{Where: workload.HoldBeforeAnswer, For: workload.MaxHold} // it ends with the server
				}
				return r, n <= 10
			}}
			reported := make(chan *workload.Report)
			go func() { reported <- c.Run(context.Background()) }() // it ends within patience, or the test does before
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			if err := (workload.Holds{Dir: dir}).Wait(ctx, &workload.Request{Session: 1, Number: 4}); err != nil {
				t.Fatal(err)
			}
			for _, e := range killedBy(t, f, journal) {
				e.server.kill()
			}
			var report *workload.Report
			select {
			case report = <-reported:
			case <-time.After(2 * patience):
				t.Fatal("the client does not end")
			}
			entries, err := workload.ReadJournal(journal)
			if err != nil {
				t.Fatal(err)
			}
			v := workload.Judge([]*workload.Report{report}, entries, workload.Promise{Protected: true, Journals: true})
			if v.Count(workload.Doubled) != want || int64(len(v.Findings)) != want || v.Refused != 1-want || v.Answered != 9+want {
				t.Errorf("%v %v\n%v", v, v.Findings, report)
			}
		})
	}
}

// killedBy are the elements whose servers the journal says to have carried out request 4.
func killedBy(t *testing.T, f *fleet, journal string) (found []*element) {
	t.Helper()
	waitFor(t, "request 4 to be carried out", func() bool {
		entries, err := workload.ReadJournal(journal)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			for _, e := range f.elements {
				if entry.Number == 4 && entry.Server == e.name {
					found = []*element{e}
				}
			}
		}
		return len(found) > 0
	})
	return found
}
