# make check is what every change has to pass. It installs what it needs on a bare Debian or Ubuntu, and skips no test.
# go test ./... alone needs nothing but Go, and takes seconds.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOSEC       := github.com/securego/gosec/v2/cmd/gosec@v2.30.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# How many random schedules the simulation runs, and how much make fuzz gives each target (4000000x or 10m).
SCHEDULES ?= 10000
FUZZTIME  ?= 10m

# How long make soak takes, and where it writes.
DURATION ?= 1h
OUT      ?= soak-results
PAGES    ?=

# How many plugs make chaos pulls, and in how many deployments at once.
EVENTS ?= 100000
WORLDS ?= 2

# When the tests of a package hang: far beyond what they take, also on a machine that others load. go test's own ten minutes are not.
HANGS := -timeout 60m

.NOTPARALLEL:
.PHONY: check build dist package demo bench bench-short docs tools format tidy vet lint vulnerabilities race simulation fuzz fuzz-short e2e e2e-race sctp soak matrix chaos chaos-page

check: tools format tidy vet lint vulnerabilities race simulation fuzz-short e2e-race e2e matrix sctp package bench-short
	@echo "make check: all passed"

build:
	go build -trimpath -o bin/poolproxy ./cmd/poolproxy

# Static binaries, .deb and .rpm, in dist/: docs/packaging.md.
dist:
	deploy/package/build

demo: build
	bin/poolproxy demo

# Measures against two chained HAProxy and nginx under two congestion controls, and writes docs/performance.md, its plots and
# bench/results.json; takes half an hour, and the machine should be quiet. Not a part of check.
bench: tools
	go run ./bench -cc reno,bbr -growth -write

# At most two minutes. It says what has become much worse than docs/performance.md has it, and fails nothing: machines are busy.
bench-short:
	@go run ./bench -short || echo "make bench-short: it did not work; see above. That is not held against the check"

# Writes the pages that are made from the code and the example.
docs:
	go test -count=1 -run TestPageOfConfiguration ./cmd/poolproxy/config -write

tools:
	.ci/tools

format:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not gofmt'd:"; echo "$$unformatted"; exit 1; }

tidy:
	go mod tidy -diff

# Other systems at least compile: the loop there is driven by goroutines.
vet:
	go vet ./...
	GOOS=darwin go vet ./...
	GOOS=windows go vet ./cmd/...

lint:
	go run $(STATICCHECK) ./...
	.ci/gosec $(GOSEC)

vulnerabilities:
	.ci/vulnerabilities $(GOVULNCHECK)

# Everything but the end-to-end tests, which have their own targets. Fuzz seeds run here.
race:
	POOLPROXY_CHECK=1 go test $(HANGS) -race $$(go list ./... | grep -Ev '/test(/sctplab|/package|/soak|/chaos|/load)?$$')

# A failing schedule prints its seed and how to run it again.
simulation:
	@go test -list Simulation ./... | grep -q '^Test' || { echo "there is no simulation to run"; exit 1; }
	POOLPROXY_SCHEDULES=$(SCHEDULES) go test -count=1 $(HANGS) -run Simulation ./...

fuzz:
	.ci/fuzz $(FUZZTIME)

fuzz-short:
	.ci/fuzz 20000x

# With the race detector in the tests and in the sidecars, and then without, for the figures that the tests print.
e2e-race:
	POOLPROXY_CHECK=1 go test $(HANGS) -race -count=1 ./test/

e2e:
	POOLPROXY_CHECK=1 go test $(HANGS) -count=1 -v ./test/ ./test/soak/
	POOLPROXY_CHECK=1 go test $(HANGS) -count=1 -v ./test/load/

# Both sidecars at work for as long as DURATION says, while something dies every two seconds: nothing may grow, nothing be lost. Writes
# soak.json, soak.csv and logs to OUT, and with PAGES=docs docs/soak.md and its pictures. Status 1: something was found. Not a part of check.
soak:
	go run ./test/soak -duration $(DURATION) -out $(OUT) -write "$(PAGES)"

# Every kind of failure, for sessions in every state, of every protocol: docs/reliability.md. Five minutes.
matrix:
	POOLPROXY_CHECK=1 go test $(HANGS) -count=1 -v ./test/chaos/

# The same, and then EVENTS of them by chance; what was seen goes to test/chaos/results.json, of which chaos-page makes docs/reliability.md. A
# hundred thousand take more than an hour, and the machine should be quiet. Not a part of check.
chaos: tools
	POOLPROXY_CHECK=1 POOLPROXY_EVENTS=$(EVENTS) POOLPROXY_WORLDS=$(WORLDS) POOLPROXY_RESULT=results.json \
	    go test -timeout 0 -count=1 -v -run 'TestChaos$$' ./test/chaos/

chaos-page:
	go test -count=1 -run TestPage ./test/chaos -write

# In a machine that has SCTP, which qemu emulates: see test/sctplab/README.md. It shall take less than five minutes; a machine that needs
# more is told so, and nothing fails by that.
sctp:
	@begun=$$(date +%s); \
	POOLPROXY_CHECK=1 go test $(HANGS) -count=1 -parallel 3 -v ./test/sctplab/; status=$$?; \
	took=$$(($$(date +%s) - begun)); echo "make sctp: $$took s"; \
	test $$took -le 300 || echo "make sctp: WARNING: more than the five minutes that it shall take"; \
	exit $$status

# The .deb of make dist, looked at by lintian and taken through its life in a Debian that has booted: see test/package.
package:
	POOLPROXY_CHECK=1 go test $(HANGS) -count=1 -v ./test/package/
