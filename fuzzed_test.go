package poolproxy_test

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
	"testing"
)

// decoders are functions by which a package takes apart what others have written: the packages that have them, and the beginnings of their
// names. Whoever calls one has a parser.
var decoders = map[string][]string{
	"encoding/binary":                       {"Uint16", "Uint32", "Uint64", "Read", "Decode"},
	"encoding/json":                         {"Unmarshal", "NewDecoder"},
	"encoding/hex":                          {"Decode"},
	"encoding/pem":                          {"Decode"},
	"encoding/base64":                       {"Decode"},
	"strconv":                               {"Parse", "Atoi", "Unquote"},
	"bufio":                                 {"NewScanner", "NewReader"},
	"net/netip":                             {"Parse"},
	"net/url":                               {"Parse", "PathUnescape", "QueryUnescape"},
	"net/http":                              {"ReadRequest", "ReadResponse"},
	"net/textproto":                         {"New"},
	"crypto/x509":                           {"Parse"},
	"fmt":                                   {"Sscan", "Fscan"},
	"golang.org/x/sys/unix":                 {"ParseDirent", "ParseSocketControlMessage"},
	"github.com/hashicorp/hcl/v2/hclsyntax": {"Parse"},
	"github.com/miekg/dns":                  {"ClientConfigFromFile"},
	"github.com/poolproxy/poolproxy/freeze": {"Thaw"},
	"github.com/poolproxy/poolproxy/asap":   {"Parse"},
	"github.com/poolproxy/poolproxy/whence": {"FromWire", "Parse"},
}

// unfuzzed are folders with a parser and without a fuzz target, and why that is right.
var unfuzzed = map[string]string{
	"handlespace":  "reads one address, by net/netip, of who has just registered it",
	"proxy/traces": "reads the URL of a collector in the configuration, by net/url",
}

// Everything from outside is input: where a package has a parser, it has a target that make fuzz finds. Packages beside the house (bench, test,
// examples, deploy) talk to themselves; test doubles (*test), too.
func TestParsersAreFuzzed(t *testing.T) {
	parsers, targets := make(map[string]string), make(map[string]bool)
	for _, s := range sources(t) {
		switch {
		case s.dir == "." || s.top() != "internal" && floors[s.top()] == 5 || strings.HasSuffix(s.dir, "test"):
		case s.test:
			for _, d := range s.file.Decls {
				f, ok := d.(*ast.FuncDecl)
				targets[s.dir] = targets[s.dir] || ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz")
			}
		default:
			if at := decodes(s); at != "" {
				parsers[s.dir] = at
			}
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(parsers)) {
		if _, known := unfuzzed[dir]; !targets[dir] && !known {
			t.Errorf("%s takes apart what others have written, and %s has no fuzz target", parsers[dir], dir)
		} else if targets[dir] && known {
			t.Errorf("%s has a fuzz target: take it out of unfuzzed", dir)
		}
	}
	for dir := range unfuzzed {
		if parsers[dir] == "" {
			t.Errorf("%s has no parser: take it out of unfuzzed", dir)
		}
	}
	if len(parsers) < 20 {
		t.Errorf("only %d packages are seen to have parsers: %v", len(parsers), parsers)
	}
}

// decodes is where a file calls a decoder; "": nowhere.
func decodes(s source) (at string) {
	names := make(map[string][]string) // what is called by which name
	for _, spec := range s.file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if decoders[path] != nil {
			names[name] = decoders[path]
		}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return at == ""
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return at == ""
		}
		of := f.X
		if inner, ok := of.(*ast.SelectorExpr); ok { // binary.BigEndian.Uint16
			of = inner.X
		}
		x, ok := of.(*ast.Ident)
		if ok && slices.ContainsFunc(names[x.Name], func(p string) bool { return strings.HasPrefix(f.Sel.Name, p) }) {
			at = s.at(call.Pos())
		}
		return at == ""
	})
	return at
}
