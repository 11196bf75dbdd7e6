package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/poolproxy/poolproxy/proxy"
)

// listens is where a pool_user listens, and how clients come there, where that is not the usual.
func listens(u proxy.UserStatus) string {
	text := u.Listen
	if u.Transparent == "redirect" || u.Transparent == "tproxy" {
		text += ", " + u.Transparent
	}
	if len(u.Trusted) > 0 {
		text += ", PROXY protocol"
	}
	return text
}

// server is the server of a pool_element, and what it is told of its clients.
func server(e proxy.ElementStatus) string {
	if e.Header == "" || e.Header == "none" {
		return e.Server
	}
	return e.Server + ", PROXY " + e.Header
}

// printAddresses writes the destinations of transparent pool_users, and the clients that got no session.
func printAddresses(w io.Writer, users []proxy.UserStatus) {
	var matches, refused [][]string
	for _, u := range users {
		if len(u.Match) > 0 {
			matches = append(matches, []string{u.Name, strings.Join(u.Match, ", ")})
		}
		for _, reason := range slices.Sorted(maps.Keys(u.Refused)) {
			refused = append(refused, []string{u.Name, reason, fmt.Sprint(u.Refused[reason])})
		}
	}
	table(w, "Destinations that are served", []string{"POOL USER", "MATCH"}, matches)
	table(w, "Clients refused", []string{"POOL USER", "REASON", "CLIENTS"}, refused)
}
