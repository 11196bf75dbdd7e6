package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/proxy"
)

const (
	defaultAdminAddress = "127.0.0.1:7878"
	statusTimeout       = 5 * time.Second
	maxStatus           = 64 << 20 // bytes; 10000 sessions are about 4 MiB
	watchInterval       = time.Second
	clearScreen         = "\x1b[H\x1b[2J"
)

// statusCommand shows what a running proxy does.
func statusCommand(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("status", stderr)
	asJSON := flags.Bool("json", false, "print JSON")
	again := flags.Bool("watch", false, "show it anew every second, until Ctrl-C")
	address := flags.String("admin", defaultAdminAddress, "`ADDRESS` of the proxy's admin API (admin.listen)")
	if status, ok := parse(flags, args); !ok {
		return status
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	for {
		err := showStatus(ctx, stdout, *address, *asJSON, *again)
		if ctx.Err() != nil {
			return exitOK
		}
		if err != nil {
			fmt.Fprintln(stderr, "poolproxy status:", err)
			return exitFailed
		}
		if !*again {
			return exitOK
		}
		select {
		case <-ctx.Done():
			return exitOK
		case <-time.After(watchInterval):
		}
	}
}

// showStatus asks once and prints the answer in one write, so that a watched screen does not flicker.
func showStatus(ctx context.Context, w io.Writer, address string, asJSON, clear bool) error {
	text, err := askStatus(ctx, address)
	if err != nil {
		return err
	}
	if !asJSON {
		var status proxy.Status
		if err := json.Unmarshal(text, &status); err != nil {
			return fmt.Errorf("the answer of %s is not a status; is it the admin API of a poolproxy of this version? %w", address, err)
		}
		var page bytes.Buffer
		if clear {
			page.WriteString(clearScreen)
		}
		printStatus(&page, &status, time.Now())
		text = page.Bytes()
	}
	_, err = w.Write(text)
	return err
}

// askStatus fetches GET /v1/status, at most maxStatus bytes.
func askStatus(ctx context.Context, address string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/status", nil)
	if err != nil {
		return nil, fmt.Errorf("-admin %q is not an address; write host:port, as in %s", address, defaultAdminAddress)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy of the environment: it is this machine's
	response, err := client.Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nothing listens on %s. Is poolproxy running? Its admin.listen may be off, or another address: see -admin",
			address)
	case err != nil:
		return nil, fmt.Errorf("%s does not answer; check -admin: %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %q; is it the admin API of a poolproxy? Check -admin", address, response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxStatus+1))
	if err == nil && len(text) > maxStatus {
		err = fmt.Errorf("more than %d bytes", maxStatus)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	return text, nil
}
