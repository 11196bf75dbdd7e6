package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/admin"
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
	address := adminFlags(flags)
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
func showStatus(ctx context.Context, w io.Writer, address adminPlace, asJSON, clear bool) error {
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
func askStatus(ctx context.Context, address adminPlace) ([]byte, error) {
	status, text, err := callAdmin(ctx, address, http.MethodGet, "/v1/status", nil)
	if err == nil && status == http.StatusUnauthorized {
		err = fmt.Errorf("the proxy at %s answers only those who know its token. %s", address, advice[admin.Unauthorized])
	} else if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s answers \"%d %s\"; is it the admin API of a poolproxy? Check -admin", address, status, http.StatusText(status))
	}
	return text, err
}
