//go:build linux

// Command cells breaks mapping sctp, in the lab, in the ways of test/chaos: each kind of failure strikes once while sessions are in each
// state, in two protocols. It writes what it has seen in the form of test/chaos's records, of which docs/reliability.md is made.
//
//	cells run FOLDER                              on host c of scenarios/star.sh; the record is FOLDER/cells.json
//	cells serve KIND LISTEN JOURNAL HOLDS NAME    is a server of the workload
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/poolproxy/poolproxy/internal/workload"
)

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Println("FAIL:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "run":
		return runAll(args[1])
	case len(args) == 6 && args[0] == "serve":
		return serve(workload.Kind(args[1]), args[2], args[3], args[4], args[5])
	}
	return fmt.Errorf("cells run FOLDER | cells serve KIND LISTEN JOURNAL HOLDS NAME, not %q", args)
}

// serve serves until the process is killed.
func serve(kind workload.Kind, listen, journal, holds, name string) error {
	j, err := workload.OpenJournal(journal, name, kind)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	return (&workload.Server{Kind: kind, Journal: j, Holds: workload.Holds{Dir: holds}}).Serve(l)
}

// runAll has every failure strike, and writes the record.
func runAll(folder string) error {
	w, err := newWorld(folder)
	if err != nil {
		return err
	}
	fmt.Println("cells: everything runs")
	r := newRecord()
	for _, f := range failures {
		if err := w.step(f, r); err != nil {
			return fmt.Errorf("%s: %w", f.id, err)
		}
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "cells.json"), append(text, '\n'), 0o644)
}
