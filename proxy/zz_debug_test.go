package proxy

import (
	"fmt"
	"reflect"

	"github.com/poolproxy/poolproxy/session"
)

func debugSession(s *session.Session) string {
	v := reflect.ValueOf(s).Elem()
	out := ""
	for _, f := range []string{"store", "sendable", "ended", "stopped", "whole", "closing", "done", "deadline", "timer", "next", "legs"} {
		out += fmt.Sprintf(" %s=%+v", f, v.FieldByName(f))
	}
	if l := v.FieldByName("leg"); !l.IsNil() {
		out += fmt.Sprintf("\n   LEG %+v", l.Elem())
	}
	return out
}
