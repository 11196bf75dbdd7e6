//go:build linux

package test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/poolproxy/poolproxy/internal/porttest"
)

const (
	transferSize = 1 << 20
	transferRate = 400_000 // bytes a second: there is time to kill the server transferKills times
	transferFile = "book.txt"
)

// transferKills are at so many thousandths of the file.
var transferKills = []int64{100, 300, 301, 500, 700}

// TestFileTransfer is the example of draft-conrad-rserpool-service-00 §6.3, from the configuration in its folder: a file fetched by a
// shell script, its servers killed again and again, one request for the rest each time. With mapping tcp the same.
func TestFileTransfer(t *testing.T) {
	for _, mapping := range []string{"none", "tcp"} {
		t.Run("mapping "+mapping, func(t *testing.T) {
			f := launchTransfer(t, mapping)
			book := writeBook(t, f.dir)
			host, port, _ := strings.Cut(f.listen, ":")
			get := startProcess(t, command{name: "get", args: []string{"bash", transferFolder("get.sh"), transferFile, host, port}})
			for i, at := range transferKills {
				f.killAfter(at * int64(len(book)) / 1000)
				f.records("moved", i+1)
			}
			if status := get.wait(t, 5*time.Minute); status != 0 {
				t.Errorf("get.sh ended with status %d", status)
			}
			sameText(t, get.output(t), string(book))
			f.checkRequests(int64(len(book)))
			for _, r := range f.records("moved", len(transferKills)) {
				if r.Skipped != 0 || r.Kind != "moved" {
					t.Errorf("%d bytes were fetched twice: %+v", r.Skipped, r)
				}
			}
		})
	}
}

// TestFileTransferRefused: the server's own error goes through, and there is nothing to fail over.
func TestFileTransferRefused(t *testing.T) {
	f := launchTransfer(t, "none")
	host, port, _ := strings.Cut(f.listen, ":")
	get := startProcess(t, command{name: "get", args: []string{"bash", transferFolder("get.sh"), "nothing", host, port}})
	if status := get.wait(t, 5*time.Minute); status != 1 || get.output(t) != "get.sh: nothing: there is no such file\n" {
		t.Errorf("status %d, %q", status, get.output(t))
	}
}

// TestFileTransferAskedMeanwhile: what is asked when the server is dead already, and no other is there, is not in flight: there is
// nothing to be continued, and it is sent as it is.
func TestFileTransferAskedMeanwhile(t *testing.T) {
	f := launchTransfer(t, "none")
	book := writeBook(t, f.dir)
	client := f.dial()
	f.serving()
	for _, e := range f.elements {
		e.server.kill()
	}
	request := "GET " + transferFile + " 900000\n"
	if _, err := io.WriteString(client, request); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the request to come while no server is there", func() bool {
		s := f.status().Sessions
		return len(s) == 1 && s[0].State != "open" && s[0].FromClient == int64(len(request))
	})
	f.startServer(1)
	want := string(book[900000:]) + ".\n"
	got := make([]byte, len(want))
	n, err := io.ReadFull(client, got)
	if err != nil {
		t.Error(err)
	}
	sameText(t, string(got[:n]), want)
	if r := f.records("moved", 1)[0]; r.Messages != 0 {
		t.Errorf("%d messages were sent again", r.Messages)
	}
}

// transfer is a fleet whose servers and configuration are those of the example.
type transfer struct {
	*fleet
	dir string // of the files
}

// launchTransfer starts the servers, the sidecar of the clients, and with mapping tcp those of the servers.
func launchTransfer(t *testing.T, mapping string) *transfer {
	t.Helper()
	f := &transfer{dir: t.TempDir(), fleet: &fleet{t: t, plan: plan{mapping: mapping}, listen: porttest.FreeString(t), admin: porttest.FreeString(t)}}
	text, err := os.ReadFile(transferFolder("config.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	config := string(text) + fmt.Sprintf("\nlog { level = \"debug\" }\nadmin { listen = %q }\n", f.admin)
	replace := func(old, now string) {
		if strings.Count(config, old) != 1 {
			t.Fatalf("the example's configuration does not have %s once", old)
		}
		config = strings.ReplaceAll(config, old, now)
	}
	replace("127.0.0.1:7000", f.listen)
	replace(`mapping = "none"`, fmt.Sprintf("mapping = %q", mapping))
	for i, name := range []string{"a", "b"} {
		e := &element{name: name, address: porttest.FreeString(t)}
		f.elements = append(f.elements, e)
		f.startServer(i)
		at := e.address
		if mapping != "none" {
			e.listen = porttest.FreeString(t)
			at = e.listen
			f.startSidecar(i)
		}
		replace(fmt.Sprintf("127.0.0.1:700%d", i+1), at)
	}
	f.user = f.run("user", config)
	f.user.waitListening(t, f.listen)
	f.user.waitListening(t, f.admin)
	return f
}

// startServer starts the example's server of element i, also again.
func (f *transfer) startServer(i int) {
	f.t.Helper()
	binary, err := buildTransfer()
	if err != nil {
		f.t.Fatal(err)
	}
	e := f.elements[i]
	e.starts++
	e.server = startProcess(f.t, command{name: serverName(e, e.starts), args: []string{
		binary, "-listen", e.address, "-dir", f.dir, "-rate", fmt.Sprint(transferRate),
	}})
	e.server.waitListening(f.t, e.address)
}

func serverName(e *element, start int) string { return fmt.Sprintf("server-%s-%d", e.name, start) }

// killAfter kills the server that serves when the client has got so many bytes, and starts it again.
func (f *transfer) killAfter(n int64) {
	f.t.Helper()
	waitFor(f.t, fmt.Sprintf("%d bytes of the file", n), func() bool {
		s := f.status().Sessions
		return len(s) == 1 && s[0].ToClient >= n && s[0].State == "open"
	})
	i := f.serving()
	f.elements[i].server.kill()
	f.startServer(i)
}

// checkRequests reads what all servers have been asked: the client's own request, and one for each failover, each for more than the
// one before it.
func (f *transfer) checkRequests(size int64) {
	f.t.Helper()
	var offsets []int64
	for _, e := range f.elements {
		for start := range e.starts {
			text, err := os.ReadFile(filepath.Join(logDir(f.t), serverName(e, start+1)+".log"))
			if err != nil {
				f.t.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				var offset int64
				if n, err := fmt.Sscanf(line, "GET "+transferFile+" %d\n", &offset); n != 1 || err != nil {
					f.t.Errorf("a server wrote %q", line)
				}
				offsets = append(offsets, offset)
			}
		}
	}
	f.t.Logf("the servers were asked for the offsets %d", offsets)
	if len(offsets) != 1+len(transferKills) {
		f.t.Errorf("%d requests, want one and one for each of %d failovers", len(offsets), len(transferKills))
	}
	given := map[int64]bool{}
	for _, o := range offsets {
		if given[o] || o > size {
			f.t.Errorf("the offset %d of a file of %d bytes, asked for twice: %t", o, size, given[o])
		}
		given[o] = true
	}
	if !given[0] {
		f.t.Error("the client's own request reached no server")
	}
}

// writeBook makes the file: lines of many lengths, in which half of all characters are dots, so that the rest of a line often looks
// like the end of a reply.
func writeBook(t *testing.T, dir string) []byte {
	t.Helper()
	var book bytes.Buffer
	random := rand.New(rand.NewPCG(6, 3))
	for line := 0; book.Len() < transferSize; line++ {
		fmt.Fprintf(&book, "%d ", line)
		for range random.IntN(200) {
			if book.WriteByte('.'); random.IntN(2) == 0 {
				book.WriteByte(byte('a' + random.IntN(26)))
			}
		}
		book.WriteByte('\n')
	}
	if err := os.WriteFile(filepath.Join(dir, transferFile), book.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return book.Bytes()
}

// sameText compares what came with what should have come.
func sameText(t *testing.T, got, want string) {
	t.Helper()
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("byte %d of the file is another: %.40q, not %.40q", i, got[i:], want[i:])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d bytes came, not %d", len(got), len(want))
	}
}

// transferFolder is the path of a file of the example.
func transferFolder(name string) string { return filepath.Join("..", "examples", "filetransfer", name) }

// buildTransfer builds the example's server once, and returns its path.
var buildTransfer = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workdir, "filetransfer")
	out, err := exec.Command("go", "build", "-o", path, transferFolder("")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the example's server: %w\n%s", err, out)
	}
	return path, nil
})
