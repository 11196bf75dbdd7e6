package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// version may be set when the binary is linked: -ldflags "-X main.version=1.2.3".
var version string

func versionCommand(args []string, stdout, stderr io.Writer) int {
	if status, ok := parse(newFlags("version", stderr), args); !ok {
		return status
	}
	fmt.Fprintf(stdout, "poolproxy %s, %s, %s/%s\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return exitOK
}

// versionText is the version, and the revision of the sources where that is known: "1.2.3 (0123456789ab, modified)".
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	text := version
	if text == "" {
		text = info.Main.Version
	}
	if text == "" || text == "(devel)" {
		text = "development version"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	revision := settings["vcs.revision"]
	if revision == "" {
		return text
	}
	if settings["vcs.modified"] == "true" {
		return fmt.Sprintf("%s (%.12s, modified)", text, revision)
	}
	return fmt.Sprintf("%s (%.12s)", text, revision)
}
