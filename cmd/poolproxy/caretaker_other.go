//go:build !linux

package main

import (
	"os"

	"github.com/hashicorp/go-hclog"
)

// isFirst reports whether this process is the first one of its namespace. There is none on this system.
func isFirst() bool { return false }

// caretake is not called where no process is the first one.
func caretake(hclog.Logger, ...<-chan os.Signal) int { return exitFailed }

func becomeCaretaker(hclog.Logger, bool, ...<-chan os.Signal) {}

func caretakes() (is, json bool) { return false, false }
