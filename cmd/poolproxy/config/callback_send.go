package config

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// sendVariables are the variables of send in the order in which they are explained.
var sendVariables = []string{"session", "element", "request", "reply", "state"}

// checkSend checks the expression of a callback as far as that is possible before there is a failover: what it names must be there, and
// with any values of the right types it must give a text.
func (r *reader) checkSend(u *userBlock, c *callback) {
	before := len(r.diags.Errs())
	r.plainText(c.send)
	for _, t := range c.send.Variables() {
		r.checkVariable(u, c, t)
	}
	if len(r.diags.Errs()) > before {
		return // what follows would say it again, in other words
	}
	v, diags := c.send.Value(&hcl.EvalContext{Variables: c.unknown(), Functions: sendFunctions})
	for _, d := range diags {
		if at := d.Subject; d.Severity == hcl.DiagError && at != nil {
			r.fail(*at, d.Summary, d.Detail)
		}
	}
	if len(r.diags.Errs()) > before {
		return
	}
	v, err := convert.Convert(v, cty.String)
	switch {
	case err != nil || v.IsNull():
		r.fail(c.send.Range(), `"send" must be a string`, `Write: send = "RESUME ${session.id}\n".`)
	case v.IsKnown() && v.AsString() == "":
		r.fail(c.send.Range(), `"send" is empty`, "Say what the new server is to be told.")
	default:
		r.checkEnding(c)
	}
}

// plainText makes the texts in the expression bytes, as those of the client are (see bytesText), and checks the functions.
func (r *reader) plainText(e hcl.Expression) {
	hclsyntax.VisitAll(e.(hclsyntax.Node), func(n hclsyntax.Node) hcl.Diagnostics {
		switch n := n.(type) {
		case *hclsyntax.LiteralValueExpr:
			if n.Val.Type() == cty.String && n.Val.IsKnown() && !n.Val.IsNull() {
				n.Val = bytesText([]byte(n.Val.AsString()))
			}
		case *hclsyntax.FunctionCallExpr:
			r.checkFunction(n)
		}
		return nil
	})
}

// checkFunction checks a call. The first argument of format has to be a fixed text: what a client says must not decide how wide a
// number is.
func (r *reader) checkFunction(call *hclsyntax.FunctionCallExpr) {
	if _, ok := sendFunctions[call.Name]; !ok {
		all := slices.Sorted(maps.Keys(sendFunctions))
		hint := fmt.Sprintf("There are: %s.", strings.Join(all, ", "))
		if near := nearest(call.Name, all); near != "" {
			hint = fmt.Sprintf("Did you mean %q?", near)
		}
		r.fail(call.NameRange, fmt.Sprintf("There is no function %q", call.Name), hint)
		return
	}
	if call.Name == "format" && len(call.Args) > 0 {
		if _, diags := call.Args[0].Value(nil); diags.HasErrors() {
			r.fail(call.Args[0].Range(), "The first argument of format is not a fixed text", `Write: format("%08d", ...).`)
		}
	}
}

// checkVariable checks one name of the expression, as "request.file", and notes which captured states it needs.
func (r *reader) checkVariable(u *userBlock, c *callback, t hcl.Traversal) {
	path := steps(t)
	at := t.SourceRange()
	if !slices.Contains(sendVariables, path[0]) {
		hint := fmt.Sprintf("There are: %s.", strings.Join(sendVariables, ", "))
		if near := nearest(path[0], sendVariables); near != "" {
			hint = fmt.Sprintf("Did you mean %q?", near)
		}
		r.fail(at, fmt.Sprintf("There is no variable %q", path[0]), hint)
		return
	}
	if path[0] == "state" {
		r.checkState(u, c, path[1:], at)
		return
	}
	has := slices.Sorted(maps.Keys(c.types()[path[0]].AttributeTypes()))
	hint := fmt.Sprintf("There are: %s.%s.", path[0], strings.Join(has, ", "+path[0]+"."))
	if path[0] == "request" {
		hint += " The groups of match are added to them: (?P<name>...)."
	}
	switch {
	case len(path) == 1:
		r.fail(at, fmt.Sprintf("%q is not a value of its own", path[0]), hint)
	case !slices.Contains(has, path[1]):
		if near := nearest(path[1], has); near != "" {
			hint = fmt.Sprintf("Did you mean %q?", path[0]+"."+near)
		}
		r.fail(at, fmt.Sprintf("There is no %s.%s", path[0], path[1]), hint)
	}
}

// checkState checks the name of what a state block has captured: state.block.group.
func (r *reader) checkState(u *userBlock, c *callback, path []string, at hcl.Range) {
	if len(path) < 2 {
		r.fail(at, "A captured state has the name of its block and of a group", "Write: state.login.user, for example.")
		return
	}
	block, group := path[0], path[1]
	groups, ok := u.states[block]
	blocks := slices.Sorted(maps.Keys(u.states))
	switch {
	case u.kind == "": // the protocol could not be read, and that has been said
	case len(blocks) == 0:
		r.fail(at, "The protocol has no state blocks", fmt.Sprintf("What a request has said is captured by: state %q { match = ... } in the protocol block.", block))
		return
	case !ok:
		r.fail(at, fmt.Sprintf("There is no state block %q", block), fmt.Sprintf("The protocol has: %s.", quoted(blocks)))
		return
	case groups != nil && !slices.Contains(groups, group):
		r.fail(at, fmt.Sprintf("The match of state %q has no group %q", block, group), fmt.Sprintf("Write (?P<%s>...) there.", group))
		return
	}
	if c.captured == nil {
		c.captured = map[string][]string{}
	}
	c.captured[block] = append(c.captured[block], group)
}

// stateGroups are the names of the groups in the match of each state block of a protocol. What is wrong with such a block is reported
// where it is read; here, any group may be in it then.
func stateGroups(b *hclsyntax.Block) map[string][]string {
	found := map[string][]string{}
	for _, state := range b.Body.Blocks {
		if state.Type != "state" {
			continue
		}
		found[label(state)] = nil
		match := state.Body.Attributes["match"]
		if match == nil {
			continue
		}
		v, diags := match.Expr.Value(nil)
		if diags.HasErrors() || v.IsNull() || v.Type() != cty.String {
			continue
		}
		if re, err := regexp.Compile(v.AsString()); err == nil {
			found[label(state)] = re.SubexpNames()
		}
	}
	return found
}

// checkEnding sees that what is sent to servers that read lines ends as a line does, as far as that can be known now: they would wait
// for the rest, and be waited for. No variable has such an end.
func (r *reader) checkEnding(c *callback) {
	last := hcl.Expression(c.send)
	if t, ok := last.(*hclsyntax.TemplateExpr); ok {
		last = t.Parts[len(t.Parts)-1]
	}
	if t, ok := last.(*hclsyntax.TemplateWrapExpr); ok {
		last = t.Wrapped
	}
	ended := true
	switch last := last.(type) {
	case *hclsyntax.LiteralValueExpr:
		if last.Val.Type() == cty.String && len(last.Val.AsString()) >= len(c.ending) {
			ended = bytes.HasSuffix(textBytes(last.Val), c.ending)
		}
	case *hclsyntax.ScopeTraversalExpr:
		ended = len(c.ending) == 0
	}
	if !ended {
		r.fail(c.send.Range(), fmt.Sprintf("What is sent does not end as a line does, with %q", c.ending),
			"The server would wait for the rest: add it at the end of send.")
	}
}

// steps are the words of a name, as "request" and "file". An index that is not a fixed word ends them.
func steps(t hcl.Traversal) []string {
	path := []string{t.RootName()}
	for _, step := range t[1:] {
		switch step := step.(type) {
		case hcl.TraverseAttr:
			path = append(path, step.Name)
		case hcl.TraverseIndex:
			if step.Key.Type() != cty.String {
				return path
			}
			path = append(path, step.Key.AsString())
		default:
			return path
		}
	}
	return path
}
