package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/poolproxy/poolproxy/internal/workload"
)

// chaosTarget is a server of the workload in this process, with its journal.
func chaosTarget(t *testing.T, kind workload.Kind) (address, journal string) {
	t.Helper()
	journal = filepath.Join(t.TempDir(), "journal")
	j, err := workload.OpenJournal(journal, "a", kind)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &workload.Server{Kind: kind, Journal: j}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
		j.Close()
	})
	return l.Addr().String(), journal
}

// spoil passes connections on to a server, and turns one bit of what that says, at a place of each connection.
func spoil(t *testing.T, server string, at int64) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	t.Cleanup(func() { l.Close(); wait.Wait() })
	wait.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() { spoilOne(client, server, at) })
		}
	})
	return l.Addr().String()
}

func spoilOne(client net.Conn, address string, at int64) {
	defer client.Close()
	server, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { // it ends with either connection
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	}()
	block := make([]byte, 4096)
	for {
		n, err := server.Read(block)
		if at >= 0 && at < int64(n) {
			block[at] ^= 1
		}
		at -= int64(n)
		if _, err := client.Write(block[:n]); err != nil {
			return
		}
		if err != nil {
			return
		}
	}
}

// chaosClientRun runs the command; -json is parsed.
func chaosClientRun(t *testing.T, args ...string) (status int, out chaosVerdict, stderr string) {
	t.Helper()
	var text, complaints bytes.Buffer
	status = chaosClientCommand(append([]string{"-json"}, args...), &text, &complaints)
	if status != exitUsage && text.Len() > 0 {
		if err := json.Unmarshal(text.Bytes(), &out); err != nil {
			t.Fatalf("%v\n%s\n%s", err, text.String(), complaints.String())
		}
	}
	return status, out, complaints.String()
}

func TestChaosClient(t *testing.T) {
	for _, kind := range []workload.Kind{workload.Line, workload.Length, workload.HTTP, workload.Stream} {
		for _, pipeline := range []string{"1", "20"} {
			address, journal := chaosTarget(t, kind)
			status, out, said := chaosClientRun(t, "-address", address, "-kind", string(kind), "-journal", journal, "-for", "500ms", "-pipeline", pipeline,
				"-requests", "60", "-pause", "1ms", "-unsafe", "50%")
			v := out.Verdict
			if status != exitOK || !out.Good || v.Answered != v.Sent || v.Sent < 4 || kind != workload.Stream && v.CarriedOut == 0 || v.Gaps.Count() != v.Sent {
				t.Errorf("%s: status %d, %+v\n%s", kind, status, out, said)
			}
		}
	}
}

func TestChaosClientSaysWhatIsWrong(t *testing.T) {
	address, journal := chaosTarget(t, workload.Line)
	wrong := spoil(t, address, 3000)
	status, out, said := chaosClientRun(t, "-address", wrong, "-for", "500ms", "-sessions", "1", "-pause", "1ms", "-unsafe", "50%")
	if status != exitFailed || out.Good || out.Mixed == 0 || out.Doubled > 0 || !strings.Contains(said, "mixed: request") {
		t.Errorf("a byte was changed: status %d, %+v\n%s", status, out, said)
	}
	if read(t, journal) == "" {
		t.Error("nothing was carried out")
	}
	for _, c := range []struct {
		name string
		lie  func(journal string)
		want func(chaosVerdict) bool
	}{
		{"twice", func(path string) {
			lines := strings.SplitAfter(read(t, path), "\n")
			write(t, path, strings.Join(append(lines, lines[0]), ""))
		}, func(v chaosVerdict) bool { return v.Doubled == 1 }},
		{"not at all", func(path string) {
			lines := strings.SplitAfter(read(t, path), "\n")
			write(t, path, strings.Join(lines[1:], ""))
		}, func(v chaosVerdict) bool { return v.Lost == 1 }},
	} {
		write(t, journal, "")
		status, out, said := chaosClientAndJournal(t, address, journal, c.lie)
		if status != exitFailed || !c.want(out) {
			t.Errorf("%s: status %d, %+v\n%s", c.name, status, out, said)
		}
	}
}

// chaosClientAndJournal runs a session, and has it judged by a journal that lies: it is written when the server has ended the session, before
// the client sees that end.
func chaosClientAndJournal(t *testing.T, address, journal string, lie func(string)) (int, chaosVerdict, string) {
	t.Helper()
	changed := filepath.Join(t.TempDir(), "changed")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan bool)
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			io.Copy(server, conn)
			server.(*net.TCPConn).CloseWrite()
		}()
		io.Copy(conn, server)
		server.Close()
		write(t, changed, read(t, journal))
		lie(changed)
		conn.Close() // only now the client sees the end, and judges
		l.Close()
	}()
	status, out, said := chaosClientRun(t, "-address", l.Addr().String(), "-journal", changed, "-for", "200ms", "-sessions", "1", "-requests", "4000000",
		"-pause", "1ms", "-unsafe", "1")
	<-done
	return status, out, said
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Error(err)
	}
}

func TestChaosClientGet(t *testing.T) {
	var count, spoilt atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := bytes.Repeat([]byte("0123456789"), 2000)
		switch n := count.Add(1); {
		case r.URL.Path == "/clock":
			content = append(content, byte('0'+n%10))
		case r.URL.Path == "/chunks":
			w.(http.Flusher).Flush()
		case r.URL.Path == "/closes":
			w.Header().Set("Connection", "close")
		case r.URL.Path == "/spoilt" && n > 10 && spoilt.Add(1) == 1:
			content[15000] = 'x'
		}
		w.Write(content)
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	for path, want := range map[string]int{"/page": exitOK, "/chunks": exitOK, "/closes": exitOK, "/spoilt": exitFailed, "/clock": exitFailed} {
		count.Store(0)
		status, out, said := chaosClientRun(t, "-address", address, "-kind", "http", "-get", path, "-for", "500ms", "-pause", "1ms")
		if status != want {
			t.Errorf("%s: status %d, %+v\n%s", path, status, out, said)
		}
		switch path {
		case "/spoilt":
			if out.Mixed != 1 || !strings.Contains(said, "at byte 15000") {
				t.Errorf("%s: %+v\n%s", path, out, said)
			}
		case "/clock":
			if !strings.Contains(said, "two answers differ") {
				t.Errorf("%s: %s", path, said)
			}
		default:
			if out.Verdict.Answered < 4 {
				t.Errorf("%s: %+v\n%s", path, out, said)
			}
		}
	}
}

func TestChaosClientCommandOfTheUser(t *testing.T) {
	for _, c := range []struct {
		script string
		status int
		want   string
	}{
		{"echo the same", exitOK, `"mixed":0`},
		{`echo the same; [ $POOLPROXY_CHAOS_RUN != 3 ] || echo more`, exitFailed, `"doubled":1`},
		{`[ $POOLPROXY_CHAOS_RUN = 3 ] || echo the same`, exitFailed, `"cut":1`},
		{`[ $POOLPROXY_CHAOS_RUN = 3 ] && echo the other || echo the same`, exitFailed, `"mixed":1`},
		{`[ $POOLPROXY_CHAOS_RUN != 3 ] || exit 7`, exitFailed, `"failed":1`},
		{`exit 7`, exitFailed, ""},
		{"echo the same", exitOK, `"known":true`},
	} {
		var out, said bytes.Buffer
		status := chaosClientCommand([]string{"-json", "-compare", "-for", "500ms", "-pause", "1ms", "--", "/bin/sh", "-c", c.script}, &out, &said)
		if status != c.status || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: status %d, %s\n%s", c.script, status, out.String(), said.String())
		}
	}
	var out, said bytes.Buffer
	status := chaosClientCommand([]string{"-json", "-sessions", "1", "-for", "500ms", "-timeout", "100ms", "--", "/bin/sh", "-c",
		"[ $POOLPROXY_CHAOS_RUN = 0 ] || exec sleep 60"}, &out, &said)
	if status != exitFailed || strings.Contains(out.String(), `"hung":0`) {
		t.Errorf("what hangs: status %d, %s\n%s", status, out.String(), said.String())
	}
}

// What is not known is not claimed: without journals it is said, and if nothing was answered nothing is proved.
func TestChaosClientDoesNotClaim(t *testing.T) {
	address, journal := chaosTarget(t, workload.Line)
	for _, c := range []struct {
		args   []string
		status int
		says   string
		not    string
	}{
		{[]string{"-address", address, "-unsafe", "1"}, exitOK, "nobody has said what the servers carried out", "nothing is proved"},
		{[]string{"-address", address, "-unsafe", "1", "-journal", journal}, exitOK, "0 lost, 0 doubled, 0 mixed", "nobody has said"},
		{[]string{"-address", address, "-unsafe", "0"}, exitOK, "0 lost, 0 doubled, 0 mixed", "nobody has said"},
		{[]string{"-address", "127.0.0.1:1", "-unprotected"}, exitFailed, "nothing is proved", "nobody has said"},
	} {
		var out, said bytes.Buffer
		status := chaosClientCommand(append([]string{"-for", "300ms", "-pause", "1ms"}, c.args...), &out, &said)
		if text := out.String(); status != c.status || !strings.Contains(text, c.says) || strings.Contains(text, c.not) {
			t.Errorf("%v: status %d, %s%s", c.args, status, text, said.String())
		}
	}
}

// Outputs that were not looked at are not said to be unmixed.
func TestChaosClientCommandNotCompared(t *testing.T) {
	var out, said bytes.Buffer
	status := chaosClientCommand([]string{"-for", "100ms", "-pause", "1ms", "--", "/bin/sh", "-c", "echo $POOLPROXY_CHAOS_RUN"}, &out, &said)
	if text := out.String(); status != exitOK || !strings.Contains(text, "\n0 lost\n") || strings.Contains(text, "mixed") {
		t.Errorf("status %d, %s%s", status, text, said.String())
	}
}

func TestChaosClientUsage(t *testing.T) {
	for _, args := range []string{
		"", "-address x:1 -kind smtp", "-address x:1 surplus", "-address x:1 -unsafe 110%", "-address x:1 -get /", "-address x:1 -kind redis",
		"-address x:1 -compare", "-address x:1 -- true", "-address x:1 -sessions 0", "-address x:1 -host y", "-address x:1 -kind http -get / -journal j",
	} {
		if status, _, said := chaosClientRun(t, strings.Fields(args)...); status != exitUsage || said == "" {
			t.Errorf("%q: status %d %s", args, status, said)
		}
	}
}

// The configuration of the page is one.
func TestChaosClientPage(t *testing.T) {
	page := read(t, "../../docs/chaos-client.md")
	_, rest, _ := strings.Cut(page, "```hcl\n")
	text, _, found := strings.Cut(rest, "```\n")
	path := filepath.Join(t.TempDir(), "try.hcl")
	write(t, path, text)
	var said bytes.Buffer
	if status := validateCommand([]string{"-config", path}, io.Discard, &said); !found || status != exitOK {
		t.Errorf("status %d: %s", status, said.String())
	}
}
