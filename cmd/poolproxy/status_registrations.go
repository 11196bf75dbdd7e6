package main

import (
	"fmt"
	"io"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

// printRegistrations writes where the pool_elements of the process are registered, and if not, why.
func printRegistrations(w io.Writer, registrations []proxy.RegistrationStatus, now time.Time) {
	var rows [][]string
	for _, r := range registrations {
		load := "-"
		if r.Load != nil {
			load = fmt.Sprintf("%.1f%%", 100**r.Load)
		}
		if r.LoadError != "" {
			load += " (not known now: " + r.LoadError + ")"
		}
		state := r.State
		if r.Error != "" {
			state += ": " + r.Error
		}
		rows = append(rows, []string{r.Element, r.Pool, r.Source, r.Name, r.Address, r.Mapping, load, shortDuration(now.Sub(r.Since)), state})
	}
	table(w, "Registrations", []string{"POOL ELEMENT", "POOL", "SOURCE", "NAME", "ADDRESS", "MAPPING", "LOAD", "SINCE", "STATE"}, rows)
}
