package main

import (
	"fmt"
	"os"
	"strings"
)

// The tables stand between these markers in the document.
const (
	markerBegin = "<!-- bench:begin -->"
	markerEnd   = "<!-- bench:end -->"
)

// replaceMarked puts text between the markers of document.
func replaceMarked(document, text string) (string, error) {
	before, rest, ok := strings.Cut(document, markerBegin)
	if !ok {
		return "", fmt.Errorf("the marker %s is missing", markerBegin)
	}
	_, after, ok := strings.Cut(rest, markerEnd)
	if !ok {
		return "", fmt.Errorf("the marker %s is missing behind %s", markerEnd, markerBegin)
	}
	return before + markerBegin + "\n\n" + strings.TrimSpace(text) + "\n\n" + markerEnd + after, nil
}

// writeDocument replaces what stands between the markers of the file.
func writeDocument(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("writing the tables: %w", err)
	}
	changed, err := replaceMarked(string(old), text)
	if err != nil {
		return fmt.Errorf("writing the tables into %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return fmt.Errorf("writing the tables: %w", err)
	}
	return nil
}
