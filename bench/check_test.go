package main

import (
	"bytes"
	"testing"
)

func TestCheckLine(t *testing.T) {
	line := make([]byte, lineSize)
	putLine(line, 17, 4711)
	if err := checkLine(line, 17, 4711); err != nil {
		t.Error(err)
	}
	if bytes.IndexByte(line, '\n') != lineSize-1 {
		t.Errorf("%q is not one line", line)
	}
	if checkLine(line, 18, 4711) == nil || checkLine(line, 17, 4712) == nil || checkLine(line[:lineSize-1], 17, 4711) == nil {
		t.Error("the reply to another request was taken")
	}
	line[100] ^= 1
	if checkLine(line, 17, 4711) == nil {
		t.Error("a changed reply was taken")
	}
}

func TestTextLine(t *testing.T) {
	line := textLine(wordDown, 123456789)
	word, value, err := parseTextLine(line)
	if len(line) != lineSize || word != wordDown || value != 123456789 || err != nil {
		t.Errorf("%q is read as %q %d, %v", line, word, value, err)
	}
	for _, bad := range []string{"", "down", "down x", "down 1 2"} {
		if _, _, err := parseTextLine([]byte(bad)); err == nil {
			t.Errorf("%q was taken for a control line", bad)
		}
	}
}

func TestCheckPattern(t *testing.T) {
	var stream []byte
	for pos := int64(1000); len(stream) < 3*bulkChunk; {
		piece := patternAt(pos, 70001)
		stream = append(stream, piece...)
		pos += int64(len(piece))
	}
	if err := checkPattern(stream, 1000); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string][]byte{
		"a byte changed": append(append(bytes.Clone(stream[:300000]), stream[300000]^1), stream[300001:]...),
		"64 KiB lost":    append(bytes.Clone(stream[:100000]), stream[100000+1<<16:]...),
		"4 KiB doubled":  append(bytes.Clone(stream[:8192]), stream[4096:]...),
	} {
		if checkPattern(bad, 1000) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
	if checkPattern(stream, patternOffset(1)) == nil {
		t.Error("the pattern of another connection was taken")
	}
}
