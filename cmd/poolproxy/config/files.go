package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// maxFile bounds one configuration file, in bytes.
const maxFile = 4 << 20

// parse reads and parses the files at paths. Those with syntax errors are left out of the result, and broken is set.
func (r *reader) parse(paths []string) (files []*hcl.File, broken bool) {
	parser := hclparse.NewParser()
	for _, name := range r.list(paths) {
		src, err := readFile(name)
		if err != nil {
			r.nowhere(fmt.Sprintf("The configuration file %q cannot be read", name), err.Error()+".")
			broken = true
			continue
		}
		r.order = append(r.order, name)
		file, diags := parser.ParseHCL(src, name)
		r.diags = append(r.diags, diags...)
		if diags.HasErrors() {
			broken = true
			continue
		}
		files = append(files, file)
	}
	r.files = parser.Files()
	return files, broken || r.diags.HasErrors()
}

// list names the files behind paths, each once.
func (r *reader) list(paths []string) []string {
	var names []string
	for _, path := range paths {
		found := []string{filepath.Clean(path)}
		info, err := os.Stat(path)
		switch {
		case err != nil:
			r.nowhere(fmt.Sprintf("The configuration file %q cannot be read", path), err.Error()+". Name a file, or a folder with files *.hcl, after -config.")
			continue
		case info.IsDir():
			found = hclFiles(path)
			if len(found) == 0 {
				r.nowhere("A configuration folder is empty", fmt.Sprintf("There is no file *.hcl in %s.", path))
			}
		}
		for _, name := range found {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Files names the files that a configuration at these paths consists of now, as far as they are there.
func Files(paths []string) []string { return (&reader{}).list(paths) }

// hclFiles lists the files *.hcl in a folder, sorted by name. A folder that cannot be read has none.
func hclFiles(folder string) []string {
	entries, _ := os.ReadDir(folder) // sorted
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() && filepath.Ext(entry.Name()) == ".hcl" {
			names = append(names, filepath.Join(folder, entry.Name()))
		}
	}
	return names
}

// readFile reads at most maxFile bytes; a longer file is an error.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(src) > maxFile {
		return nil, fmt.Errorf("%s is longer than %d bytes: is it a configuration?", name, maxFile)
	}
	return src, nil
}
