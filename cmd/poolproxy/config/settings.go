package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/poolproxy/poolproxy"
)

// Setting is a block or an attribute of the configuration as config.hcl.example describes it, which is the one place where it is described.
type Setting struct {
	Path  string // pool_user.failover.replay; of a source and a protocol the kind is a part: source.dns.name
	Block bool
	Shown string // how it is written: `replay = "unacked"`, `pool_user "web" { ... }`
	Live  bool   // it stands in the example as a setting, not in a comment
	Text  string // what it does, for people; one paragraph
}

// Name is the last part of the path.
func (s Setting) Name() string { return s.Path[strings.LastIndexByte(s.Path, '.')+1:] }

// In is the path of the block that it stands in; "" is the top.
func (s Setting) In() string { return s.Path[:max(strings.LastIndexByte(s.Path, '.'), 0)] }

// Settings are all that there are, in the order of the example, each once.
func Settings() []Setting {
	e := &exampleReader{}
	for _, line := range strings.Split(poolproxy.Example, "\n") {
		e.line(line)
	}
	for i, s := range e.all {
		if s.Text == "" {
			e.all[i].Text = e.sameElsewhere(s)
		}
	}
	return e.all
}

// exampleReader reads the example line by line. In it a setting is described by the comment behind it, which may go on below, or by the
// paragraph above it; settings that stand in comments are read like the others.
type exampleReader struct {
	all   []Setting
	in    []string // the paths of the blocks that are open
	above []string // the lines of the paragraph above
	used  bool     // that paragraph has described a setting already
	last  int      // 1 + the setting whose comment may go on in the next line, at column
	at    int
}

var (
	exampleBlock     = regexp.MustCompile(`^([a-z_]+)((?: +"[^"]*")*) +\{(.*)$`)
	exampleAttribute = regexp.MustCompile(`^([a-z_]+) += (.+)$`)
)

func (e *exampleReader) line(raw string) {
	body := strings.TrimSpace(raw)
	live := !strings.HasPrefix(body, "#")
	comment := strings.LastIndexByte(raw[:len(raw)-len(strings.TrimLeft(raw, " #"))], '#')
	for !live && strings.HasPrefix(body, "#") {
		body = strings.TrimSpace(body[1:])
	}
	block, attribute := exampleBlock.FindStringSubmatch(body), exampleAttribute.FindStringSubmatch(body)
	switch {
	case e.last > 0 && !live && comment == e.at:
		e.all[e.last-1].Text += " " + body
	case block != nil:
		e.block(block, live, raw)
	case attribute != nil:
		e.setting(attribute[1], attribute[2], live, raw)
	case body == "}":
		e.in = e.in[:max(len(e.in)-1, 0)]
		e.rest()
	case body == "":
		e.rest()
	default:
		if e.last > 0 {
			e.rest()
		}
		e.above = append(e.above, body)
	}
}

// within is the path of a name in the block that is open.
func (e *exampleReader) within(name string) string {
	if len(e.in) == 0 {
		return name
	}
	return e.in[len(e.in)-1] + "." + name
}

// rest ends a paragraph.
func (e *exampleReader) rest() { e.above, e.used, e.last = nil, false, 0 }

// block is one that begins, and ends in the same line where it is short.
func (e *exampleReader) block(match []string, live bool, raw string) {
	name := e.within(match[1])
	if match[1] == "protocol" && len(e.in) == 0 {
		name = "pool_user.protocol" // those that stand behind the example, to be put into it
	}
	if match[1] == "protocol" || match[1] == "source" {
		name += "." + strings.Split(match[2], `"`)[1]
	}
	inner, short := strings.CutSuffix(strings.TrimSpace(before(match[3], " # ")), "}")
	behind := after(match[3], " # ")
	e.add(Setting{Path: name, Block: true, Live: live, Shown: match[1] + match[2] + " { ... }"}, behind, raw)
	if !short {
		e.rest()
		e.in = append(e.in, name)
		return
	}
	if a := exampleAttribute.FindStringSubmatch(strings.TrimSpace(inner)); a != nil {
		e.add(Setting{Path: name + "." + a[1], Live: live, Shown: a[0]}, behind, raw)
	}
}

func (e *exampleReader) setting(name, rest string, live bool, raw string) {
	value := strings.TrimSpace(before(rest, " # "))
	e.add(Setting{Path: e.within(name), Live: live, Shown: name + " = " + value}, after(rest, " # "), raw)
}

// add takes a setting that is met for the first time. behind is the comment in its line.
func (e *exampleReader) add(s Setting, behind, raw string) {
	s.Text = behind
	if behind == "" || !e.used {
		s.Text = strings.TrimSpace(strings.Join(e.above, " ") + " " + behind)
	}
	e.used, e.last = true, 0
	known := slices.IndexFunc(e.all, func(x Setting) bool { return x.Path == s.Path })
	if known >= 0 {
		if e.all[known].Text == "" {
			e.all[known].Text = s.Text
		}
		return
	}
	e.all = append(e.all, s)
	if behind != "" {
		e.last, e.at = len(e.all), strings.LastIndex(raw, "# "+behind)
	}
}

// sameElsewhere is the text of a setting of the same name, in a block of the same name, that stands elsewhere (heartbeat.interval; of a
// block only its own name counts), or else that of the block that it is in.
func (e *exampleReader) sameElsewhere(s Setting) string {
	end := "." + s.Name()
	if !s.Block {
		end = "." + Setting{Path: s.In()}.Name() + end
	}
	for _, x := range e.all {
		if x.Text != "" && x.Block == s.Block && strings.HasSuffix("."+x.Path, end) {
			return x.Text
		}
	}
	for _, x := range e.all {
		if x.Path == s.In() {
			return x.Text
		}
	}
	return ""
}

func before(s, sep string) string {
	head, _ := cutOutsideQuotes(s, sep)
	return head
}

func after(s, sep string) string {
	_, tail := cutOutsideQuotes(s, sep)
	return strings.TrimSpace(tail)
}

// cutOutsideQuotes is strings.Cut that leaves alone what stands in quotes.
func cutOutsideQuotes(s, sep string) (head, tail string) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"' && (i == 0 || s[i-1] != '\\'):
			quoted = !quoted
		case !quoted && strings.HasPrefix(s[i:], sep):
			return s[:i], s[i+len(sep):]
		}
	}
	return s, ""
}
