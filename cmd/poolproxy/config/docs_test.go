package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

var (
	// codeSpan is code in a line of Markdown, in one or two backticks; codeLine a line of an indented or fenced block.
	codeSpan = regexp.MustCompile("``(.+?)``|`([^`\n]+)`")
	fence    = regexp.MustCompile("^ *```")

	// looksHCL is what begins like a block or an attribute of the configuration. A verb of Go's, or a shell's assignment, does not.
	looksHCL = regexp.MustCompile(`^[a-z_]+( "[^"]*")* \{|^[a-z_]+ += `)

	// saying is a text of poolproxy's that begins with the name of a setting.
	saying = regexp.MustCompile(`^[a-z_]+ = "[a-z]+" (is|cannot) `)

	// leftOut are the dots that stand for what does not matter.
	leftOut = strings.NewReplacer(`[...]`, `[]`, `[…]`, `[]`, `{ ... }`, `{}`, `{ … }`, `{}`)
)

// snippet is a piece of configuration in a page.
type snippet struct {
	page, text string
	line       int
}

// snippetsOf finds what looks like configuration in a page: whole blocks of code, and code within lines.
func snippetsOf(page, text string) (all []snippet) {
	var block []string
	begin, fenced := 0, false
	end := func() {
		if code := strings.Join(block, "\n"); looksHCL.MatchString(strings.TrimLeft(code, " ")) {
			all = append(all, snippet{page, code, begin})
		}
		block = nil
	}
	for i, line := range strings.Split(text, "\n") {
		switch {
		case fence.MatchString(line):
			fenced = !fenced
			end()
		case fenced || strings.HasPrefix(line, "    "):
			if block == nil {
				begin = i + 1
			}
			block = append(block, line)
		default:
			end()
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				code := strings.TrimSpace(m[1] + m[2])
				if strings.HasPrefix(line, "|") {
					code = strings.ReplaceAll(code, `\|`, "|") // as tables have it
				}
				if looksHCL.MatchString(code) && !saying.MatchString(code) {
					all = append(all, snippet{page, code, i + 1})
				}
			}
		}
	}
	end()
	return all
}

// pages are the README and the documentation, of examples and deploy too, by name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := filepath.Join("..", "..", "..")
	texts := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "examples/*/*.md", "deploy/*/*.md"} {
		names, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %d pages, %v", pattern, len(names), err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			texts[name] = string(text)
		}
	}
	return texts
}

// What the pages show of the configuration must parse as it stands there, so that it can be copied; whole protocol blocks must load.
func TestPagesShowHCL(t *testing.T) {
	parsed, protocols := 0, 0
	for page, text := range pages(t) {
		for _, s := range snippetsOf(page, text) {
			code := leftOut.Replace(s.text)
			if _, diags := hclsyntax.ParseConfig([]byte(code+"\n"), s.page, hcl.Pos{Line: s.line, Column: 1}); diags.HasErrors() {
				t.Errorf("%s:%d: %v\n%s", s.page, s.line, diags, s.text)
				continue
			}
			parsed++
			if strings.HasPrefix(code, `protocol "`) {
				protocols++
				if l := loadText(t, user(code, "")); l.Failed() {
					t.Errorf("%s:%d: %v\n%s", s.page, s.line, l.Diagnostics, s.text)
				}
			}
		}
	}
	if parsed < 60 || protocols < 8 {
		t.Errorf("%d snippets of configuration were found, of them %d protocol blocks: they are more", parsed, protocols)
	}
	t.Logf("%d snippets of configuration, %d protocol blocks", parsed, protocols)
}

// The test above must see what it is there for: HCL takes no two arguments in a block of one line.
func TestPagesShowNoShortBlocks(t *testing.T) {
	page := "A `heartbeat { interval = \"1s\" misses = 3 }` is wrong.\n\n    state \"x\" { match = \"a\" expect = \"b\" }\n\n`GET /` is none, ``fence = \"5s\"`` is right.\n"
	found := snippetsOf("page", page)
	if len(found) != 3 || found[0].line != 1 || found[1].line != 3 || found[2].text != `fence = "5s"` {
		t.Fatalf("%+v", found)
	}
	for i, wrong := range []bool{true, true, false} {
		if _, diags := hclsyntax.ParseConfig([]byte(found[i].text+"\n"), "page", hcl.InitialPos); diags.HasErrors() != wrong {
			t.Errorf("%s: %v", found[i].text, diags)
		}
	}
}
