package proxy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/poolproxy/poolproxy/protocol"
)

// request is one message of a client.
type request struct {
	client, number int
	kind           byte // 'S'afe, 'U'nsafe, 'O'ne-way, a callback's ('K'), or what talks has
	unit           int  // the transaction that it is a part of; 0: none
	reply          int  // bytes of letters in the reply
	bytes          []byte
	sent           time.Time // when its last byte was written; zero: it was not
	executed       int       // times that a server has read it to its end
	read           bool      // a server that died had read it, if it had not executed it
	by             []execution
	answered       bool // its client has the whole reply of a server
	lost           bool // it was answered by an error of the sidecar's own
	never          bool // which says that it was not carried out
}

// words are what every request says of itself, in any dialect.
func (r *request) words() string {
	return fmt.Sprintf("%c %d %d %d", r.kind, r.client, r.number, r.reply)
}

// parseWords reads them back; the request is otherwise empty.
func parseWords(text string) (r request, err error) {
	f := strings.SplitN(text, " ", 5)
	if len(f) < 4 || len(f[0]) != 1 {
		return r, fmt.Errorf("%.40q is no request", text)
	}
	r.kind = f[0][0]
	for i, to := range []*int{&r.client, &r.number, &r.reply} {
		if *to, err = strconv.Atoi(f[i+1]); err != nil {
			return r, err
		}
	}
	return r, nil
}

// dialect is how requests and replies look in one protocol.
type dialect interface {
	protocol() protocol.Protocol
	opaque() bool
	kinds() []byte
	// encode fills in r.bytes, with size bytes of padding.
	encode(r *request, size int)
	// frame is the length of the first message in p, 0 if it is not complete. From where to search on is the caller's memory.
	frame(p []byte, from int) int
	// decode reads a complete message.
	decode(p []byte) (request, error)
	// answer is a server's reply; raw is the request as it came.
	answer(variant int, r *request, raw []byte, chance *rand.Rand) []byte
	// reader checks what a client is answered.
	reader(s *scenario, requests []*request) reader
}

// reader checks the replies of one client as they come. Its errors are violations.
type reader interface {
	feed(p []byte) error
	replies() int  // that have come in full
	aborted() bool // the protocol's own error was the last thing
}

var dialects = []func(*scenario) dialect{newLines, newLengths, newStreams, newWeb, newTalks, newTalks}

// letters is what bodies are cut from: alphabets[0] by honest servers, alphabets[1] by those that differ.
var alphabets = [2][]byte{letters(1), letters(2)}

const alphabetSize = 1 << 20

func letters(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	p := make([]byte, alphabetSize)
	for i := range p {
		p[i] = byte('a' + r.IntN(26))
	}
	return p
}

// body is the letters of a reply. A server that differs does so from some place on, which may lie behind the end.
func body(variant int, r *request) []byte {
	at := (r.client*7919 + r.number*104729) % (alphabetSize / 2)
	p := append([]byte(nil), alphabets[0][at:at+r.reply]...)
	if differs := at % 700; variant == 1 && differs < r.reply {
		copy(p[differs:], alphabets[1][at+differs:at+r.reply])
	}
	return p
}

// padding is what makes requests large.
func padding(r *request, size int) []byte {
	at := (r.client*15485863 + r.number*32452843) % (alphabetSize / 2)
	return alphabets[0][at : at+size]
}

const abortText = "!the session cannot be carried on"

// lines is protocol line: each request and reply a line.
type lines struct{ oneWay bool }

func newLines(s *scenario) dialect { return &lines{oneWay: s.rand.IntN(2) == 0} }

func (d *lines) protocol() protocol.Protocol {
	p, err := protocol.NewLine(protocol.LineConfig{Safe: []*regexp.Regexp{regexp.MustCompile("^S ")},
		OneWay: []*regexp.Regexp{regexp.MustCompile("^O ")}, Abort: []byte(abortText + "\n"), MaxLine: 1 << 20})
	if err != nil {
		panic(err)
	}
	return p
}

func (d *lines) opaque() bool { return false }

func (d *lines) kinds() []byte {
	if d.oneWay {
		return []byte("SUO")
	}
	return []byte("SU")
}

func (d *lines) encode(r *request, size int) {
	r.bytes = fmt.Appendf(nil, "%s %s\n", r.words(), padding(r, size))
}

func (d *lines) frame(p []byte, from int) int {
	if at := bytes.IndexByte(p[from:], '\n'); at >= 0 {
		return from + at + 1
	}
	return 0
}

func (d *lines) decode(p []byte) (request, error) { return parseWords(string(p[:min(len(p), 60)])) }

func (d *lines) answer(variant int, r *request, _ []byte, _ *rand.Rand) []byte {
	return fmt.Appendf(nil, "reply %d %d %s\n", r.client, r.number, body(variant, r))
}

func (d *lines) reader(s *scenario, requests []*request) reader {
	return newExact(s, requests, abortText+"\n")
}

// lengths is protocol length: each message with its length in front.
type lengths struct{ loses bool }

func newLengths(s *scenario) dialect { return &lengths{loses: s.rand.IntN(2) == 0} }

func (d *lengths) protocol() protocol.Protocol {
	c := protocol.LengthConfig{Width: 4, Safe: []protocol.Pattern{{Offset: 4, Bytes: []byte("S ")}}, Abort: message(abortText)}
	if d.loses {
		c.Lost = message(lostText)
	}
	p, err := protocol.NewLength(c)
	if err != nil {
		panic(err)
	}
	return p
}

func message(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

func (d *lengths) opaque() bool { return false }

func (d *lengths) kinds() []byte { return []byte("SU") }

func (d *lengths) encode(r *request, size int) {
	r.bytes = message(fmt.Sprintf("%s %s", r.words(), padding(r, size)))
}

func (d *lengths) frame(p []byte, _ int) int {
	if len(p) < 4 {
		return 0
	}
	if n := 4 + int(binary.BigEndian.Uint32(p)); n <= len(p) {
		return n
	}
	return 0
}

func (d *lengths) decode(p []byte) (request, error) { return parseWords(string(p[4:min(len(p), 60)])) }

func (d *lengths) answer(variant int, r *request, _ []byte, _ *rand.Rand) []byte {
	return message(fmt.Sprintf("reply %d %d %s", r.client, r.number, body(variant, r)))
}

func (d *lengths) reader(s *scenario, requests []*request) reader {
	x := newExact(s, requests, string(message(abortText)))
	if d.loses {
		x.lost = string(message(lostText))
	}
	return x
}
