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
	adminTimeout        = 10 * time.Second // longer than a source may take (package admin)
	maxStatus           = 64 << 20         // bytes; 10000 sessions are about 4 MiB
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
	status, text, err := callAdmin(ctx, address, http.MethodGet, "/v1/status", nil)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers \"%d %s\"; is it the admin API of a poolproxy? Check -admin", address, status, http.StatusText(status))
	}
	return text, err
}

// callAdmin asks the admin API of a running proxy, with a body of JSON if there is one, and returns the HTTP status and the answer, at most
// maxStatus bytes.
func callAdmin(ctx context.Context, address, method, path string, body any) (status int, text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	in, err := jsonBody(body)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, in)
	if err != nil {
		return 0, nil, fmt.Errorf("-admin %q is not an address; write host:port, as in %s", address, defaultAdminAddress)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // no proxy of the environment: it is this machine's
	response, err := client.Do(request)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return 0, nil, fmt.Errorf("nothing listens on %s. Is poolproxy running? Its admin.listen may be off, or another address: see -admin",
			address)
	case err != nil:
		return 0, nil, fmt.Errorf("%s does not answer; check -admin: %w", address, err)
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxStatus+1))
	if err == nil && len(text) > maxStatus {
		err = fmt.Errorf("more than %d bytes", maxStatus)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer of %s: %w", address, err)
	}
	return response.StatusCode, text, nil
}
