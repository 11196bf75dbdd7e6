package main

import (
	"fmt"
	"os"
	"strings"
)

// markers enclose what is written by this program in the document.
type markers struct{ begin, end string }

var resultMarkers = markers{"<!-- bench:begin -->", "<!-- bench:end -->"}

// growthMarkers are those of one series.
func growthMarkers(series string) markers {
	return markers{"<!-- growth:" + series + ":begin -->", "<!-- growth:" + series + ":end -->"}
}

// replace puts text between the markers of document.
func (m markers) replace(document, text string) (string, error) {
	before, rest, ok := strings.Cut(document, m.begin)
	if !ok {
		return "", fmt.Errorf("the marker %s is missing", m.begin)
	}
	_, after, ok := strings.Cut(rest, m.end)
	if !ok {
		return "", fmt.Errorf("the marker %s is missing behind %s", m.end, m.begin)
	}
	return before + m.begin + "\n\n" + strings.TrimSpace(text) + "\n\n" + m.end + after, nil
}

// writeDocument replaces what stands between the markers of the file.
func writeDocument(path string, m markers, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("writing the tables: %w", err)
	}
	changed, err := m.replace(string(old), text)
	if err != nil {
		return fmt.Errorf("writing the tables into %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		return fmt.Errorf("writing the tables: %w", err)
	}
	return nil
}
