//go:build linux

package sctplab

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// rsplib's pool user moves from our pool_element, in front of a plain TCP server, to an rspserver, and back: the reply numbers, which are
// the servers' state, go on, and each new element hears the cookie first.
func TestNativeUser(t *testing.T) {
	l := Open(t)
	s := Named("native_user")
	s.Programs = append([]string{Build(t, "../../cmd/poolproxy"), Build(t, "./element")}, Rsplib...)
	s.Files = map[string]string{"etc/pp.hcl": "testdata/native_user.hcl"}
	r := l.Run(t, s)
	r.Check(t)
	replies := regexp.MustCompile(`from PE \$([0-9a-f]+) \(reply #(\d+)\)`).FindAllStringSubmatch(r.File(t, "pu.log"), -1)
	var elements []string
	for i, m := range replies {
		if m[2] != fmt.Sprint(i+1) {
			t.Errorf("reply %s comes as number %d, from %s", m[2], i+1, m[1])
		}
		if n := len(elements); n == 0 || elements[n-1] != m[1] {
			elements = append(elements, m[1])
		}
	}
	if got := strings.Join(elements, " "); got != "33333333 22222222 33333333" {
		t.Errorf("the elements that served: %s", got)
	}
	if got, want := strings.Join(firstMessages(t, r, "native_user.pcap"), "; "), "7001: 33; 7002: 11/12; 7001: 11/12"; got != want {
		t.Errorf("the pool user's first messages at its elements: %s, want %s", got, want)
	}
}

// firstMessages are, for each association with an element of ping-pong, the element's port and the PPID of the first message there, with
// ASAP's type if it is one of ASAP: 12 is COOKIE_ECHO. Several with one element in a row that begin alike are one: a process that is
// killed may still have been connected to.
func firstMessages(t *testing.T, r Result, capture string) (first []string) {
	const toElements = "sctp.data_payload_proto_id && (sctp.dstport == 7001 || sctp.dstport == 7002)"
	seen := map[string]bool{}
	for _, p := range r.Decode(t, capture, toElements, "sctp.srcport", "sctp.dstport", "sctp.data_payload_proto_id", "asap.message_type") {
		association, what := p[0]+" "+p[1], p[1]+": "+p[2]
		if seen[association] {
			continue
		}
		seen[association] = true
		if p[3] != "" {
			what += "/" + p[3]
		}
		if n := len(first); n == 0 || first[n-1] != what {
			first = append(first, what)
		}
	}
	return first
}
