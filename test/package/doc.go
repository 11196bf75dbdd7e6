// Package packages installs the .deb that make dist builds in a Debian that has booted with systemd, in a container of its own, starts, reloads,
// upgrades, removes and purges it (scenario.sh). There is nothing here but tests.
package packages
