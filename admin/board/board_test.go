package board

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds the wait for an event that must come.
const patience = 30 * time.Second

// served is a board over a view that tests change by storing another one.
func served(t *testing.T, first View) (*Board, *httptest.Server, *atomic.Pointer[View]) {
	t.Helper()
	var view atomic.Pointer[View]
	view.Store(&first)
	b := New(func() View { return *view.Load() })
	b.every = 5 * time.Millisecond
	mux := http.NewServeMux()
	b.Routes(mux)
	s := httptest.NewServer(mux)
	t.Cleanup(func() { b.Close(); s.Close() })
	return b, s, &view
}

// browser has what it was told.
type browser struct {
	t       *testing.T
	lines   *bufio.Scanner
	rows    map[string]map[string]json.RawMessage
	summary overview
	largest int
}

func follows(t *testing.T, s *httptest.Server) *browser {
	t.Helper()
	answer, err := http.Get(s.URL + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatal(answer.Status, answer.Header)
	}
	b := &browser{t: t, lines: bufio.NewScanner(answer.Body), rows: map[string]map[string]json.RawMessage{}}
	b.lines.Buffer(nil, 1<<20)
	return b
}

// until takes events until what is asked for is so.
func (b *browser) until(what string, so func() bool) {
	b.t.Helper()
	name := ""
	for begin := time.Now(); b.lines.Scan(); {
		text := b.lines.Text()
		b.largest = max(b.largest, len(text))
		if n, is := strings.CutPrefix(text, "event: "); is {
			name = n
		}
		if data, is := strings.CutPrefix(text, "data: "); is {
			b.take(name, data)
			if name == "overview" && so() {
				return
			}
		}
		if time.Since(begin) > patience {
			break
		}
	}
	b.t.Fatalf("never %s: %v", what, b.lines.Err())
}

func (b *browser) take(name, data string) {
	if name == "overview" {
		b.summary = overview{}
		if err := json.Unmarshal([]byte(data), &b.summary); err != nil {
			b.t.Fatal(err, data)
		}
		return
	}
	var said struct {
		Reset bool
		Rows  [][2]json.RawMessage
		Gone  []string
	}
	if err := json.Unmarshal([]byte(data), &said); err != nil {
		b.t.Fatal(err, data)
	}
	if said.Reset || b.rows[name] == nil {
		b.rows[name] = map[string]json.RawMessage{}
	}
	for _, key := range said.Gone {
		delete(b.rows[name], key)
	}
	for _, r := range said.Rows {
		var key string
		if err := json.Unmarshal(r[0], &key); err != nil {
			b.t.Fatal(err)
		}
		b.rows[name][key] = r[1]
	}
}

func (b *browser) has(name, key, text string) bool {
	return strings.Contains(string(b.rows[name][key]), text)
}

// large is more than a page can show.
func large(elements, sessions int) View {
	v := View{Version: "1", Pools: []Pool{{Handle: "web", Elements: elements}}}
	for i := range elements {
		v.Elements = append(v.Elements, Element{Pool: "web", Name: fmt.Sprint("e", i), Alive: i%7 > 0})
	}
	for i := range sessions {
		v.Sessions = append(v.Sessions, Session{ID: uint64(sessions - i), User: "web", Client: fmt.Sprintf("10.0.0.1:%d", i), Protection: "degraded",
			Reason: fmt.Sprintf("in a transaction since 12:%02d:%02d: it would fail", i/60%60, i%60)})
	}
	return v
}

// What changes is told, and no more; who comes later has the same.
func TestEvents(t *testing.T) {
	v := large(3, 2)
	_, s, view := served(t, v)
	b := follows(t, s)
	b.until("all there", func() bool {
		return len(b.rows["elements"]) == 3 && b.summary.Sessions == 2 && b.summary.Protection["degraded"] == 2
	})
	next := large(3, 1)
	next.Elements[1].Failures = 9
	next.Elements = next.Elements[:2]
	next.Failovers = []Failover{{User: "web", Session: 1, Cause: "<script>alert(1)</script>\nevent: x"}}
	view.Store(&next)
	b.until("changed", func() bool {
		return len(b.rows["elements"]) == 2 && b.has("elements", "web\x00e1", `"failures":9`) && len(b.rows["failovers"]) == 1 && b.summary.Sessions == 1
	})
	later := follows(t, s)
	later.until("as the other", func() bool { return len(later.rows["elements"]) == 2 && len(later.rows["failovers"]) == 1 })
	if fmt.Sprint(later.rows) != fmt.Sprint(b.rows) {
		t.Errorf("%s\nis not %s", later.rows, b.rows)
	}
}

// However much there is, an event is small, reasons are few, and tables are cut.
func TestEventsAreBounded(t *testing.T) {
	v := large(mostRows+500, 10000)
	v.Failovers = []Failover{{Cause: strings.Repeat("x", 1<<20)}}
	for i := range 1000 {
		v.Sessions[i].Reason = fmt.Sprint("reason ", i)
	}
	_, s, _ := served(t, v)
	b := follows(t, s)
	b.until("all there", func() bool { return len(b.rows["elements"]) == mostRows })
	if b.largest > 64<<10 {
		t.Errorf("an event of %d bytes", b.largest)
	}
	if n := len(b.summary.Reasons); n != mostReasons+1 || b.summary.Elements != mostRows+500 {
		t.Errorf("%d reasons, %d elements", n, b.summary.Elements)
	}
	if r := b.summary.Reasons[0]; r.Sessions != 9000 || r.Reason != "in a transaction since …: it would fail" {
		t.Errorf("%+v", r)
	}
}

// A reader that does not read is left, and nobody waits for it.
func TestSlowReaderIsLeft(t *testing.T) {
	board, s, _ := served(t, large(1000, 0))
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(1)
	fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
	var slow *reader
	for slow == nil {
		board.mu.Lock()
		for r := range board.readers {
			slow = r
		}
		board.mu.Unlock()
	}
	quick := follows(t, s)
	// What fills it up, whatever the sockets between take.
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for {
			board.mu.Lock()
			_, there := board.readers[slow]
			if there {
				board.tell(slow, []message{make(message, 32<<10)})
			}
			board.mu.Unlock()
			if !there {
				return
			}
		}
	}()
	quick.until("still told", func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	})
}

// Nobody looks at the proxy while nobody looks at the dashboard; and closing ends what follows.
func TestLooksOnlyWhileFollowed(t *testing.T) {
	var looks atomic.Int64
	b := New(func() View { looks.Add(1); return View{} })
	b.every = time.Millisecond
	mux := http.NewServeMux()
	b.Routes(mux)
	s := httptest.NewServer(mux)
	defer s.Close()
	if answer, err := http.Get(s.URL + "/v1/sessions"); err != nil || answer.StatusCode != 200 || looks.Load() != 0 {
		t.Fatal(answer, err, looks.Load())
	}
	for range 2 { // it begins again
		answer, err := http.Get(s.URL + "/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(answer.Body).ReadString(':'); err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		b.all.Wait() // the goroutine ends by itself
	}
	if looks.Load() == 0 {
		t.Error("nobody has looked")
	}
	answer, err := http.Get(s.URL + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b.Close()
	b.Close()
	if _, err := io.ReadAll(answer.Body); err != nil {
		t.Error(err)
	}
	if answer, err := http.Get(s.URL + "/v1/events"); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Error(answer, err)
	}
}

// There are not more readers than there may be.
func TestReadersAreBounded(t *testing.T) {
	b, _, _ := served(t, View{})
	for range mostReaders {
		if b.join() == nil {
			t.Fatal("refused")
		}
	}
	if b.join() != nil {
		t.Error("one more")
	}
}

// Pages of other origins get nothing, and take no reader's place.
func TestOtherOriginsAreRefused(t *testing.T) {
	b, s, _ := served(t, View{})
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "x": 403, "same-origin": 200, "none": 200} {
		for _, path := range []string{"/v1/sessions", "/v1/events"} {
			request, err := http.NewRequest("GET", s.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Sec-Fetch-Site", site)
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != want {
				t.Errorf("%s %s: %s", site, path, answer.Status)
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.readers) > 2 {
		t.Errorf("%d readers", len(b.readers))
	}
}

// Sessions are asked for page by page.
func TestSessionsByPage(t *testing.T) {
	_, s, _ := served(t, large(1, 1000))
	b := follows(t, s)
	b.until("there", func() bool { return b.summary.Sessions == 1000 })
	for query, want := range map[string]string{
		"?offset=10&limit=2":           "1000 [11 12]",
		"?offset=999":                  "1000 [1000]",
		"?offset=5000":                 "1000 []",
		"?find=10.0.0.1:999":           "1 [1]",
		"?protection=protected":        "0 []",
		"?find=TRANSACTION&limit=1":    "1000 [1]",
		"?limit=201":                   "",
		"?limit=0":                     "",
		"?offset=-1":                   "",
		"?offset=99999999999999999999": "",
	} {
		answer, err := http.Get(s.URL + "/v1/sessions" + query)
		if err != nil {
			t.Fatal(err)
		}
		var p page
		err = json.NewDecoder(answer.Body).Decode(&p)
		answer.Body.Close()
		var ids []uint64
		for _, x := range p.Sessions {
			ids = append(ids, x.ID)
		}
		if got := fmt.Sprint(p.Total, " ", ids); want != got && want != "" || want == "" && answer.StatusCode != 400 || want != "" && err != nil {
			t.Errorf("%s: %s %d, %v; not %q", query, got, answer.StatusCode, err, want)
		}
	}
}

// The page comes with a policy that allows nothing inline and nothing from elsewhere, and keeps to it.
func TestPageKeepsToItsPolicy(t *testing.T) {
	_, s, _ := served(t, View{})
	for path, a := range assets {
		answer, err := http.Get(s.URL + strings.TrimSuffix(path, "{$}"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		h := answer.Header
		if err != nil || answer.StatusCode != 200 || h.Get("Content-Type") != a.kind || h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || len(text) == 0 {
			t.Errorf("%s: %s %v %v", path, answer.Status, h, err)
		}
		for _, no := range []string{"unsafe", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=\"", "<style", " onclick", " onload", "javascript:", "@import", "https://"} {
			if strings.Contains(string(text), no) {
				t.Errorf("%s has %q", path, no)
			}
		}
		if a.kind != "image/svg+xml" && strings.Contains(strings.ReplaceAll(string(text), "http://www.w3.org/2000/svg", ""), "http://") {
			t.Errorf("%s names something elsewhere", path)
		}
	}
	if answer, err := http.Get(s.URL + "/page/index.html"); err != nil || answer.StatusCode != 404 {
		t.Error(answer, err)
	}
}
