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

	"github.com/poolproxy/poolproxy/admin"
	"github.com/poolproxy/poolproxy/admin/board"
	"github.com/poolproxy/poolproxy/cmd/poolproxy/terminal"
	"github.com/poolproxy/poolproxy/proxy"
)

const (
	defaultAdminAddress = "127.0.0.1:7878"
	adminTimeout        = 10 * time.Second // longer than a source may take (package admin)
	maxStatus           = 64 << 20         // bytes; 10000 sessions are about 4 MiB
	watchInterval       = time.Second
)

// statusCommand shows what a running proxy does.
func statusCommand(args []string, stdout, stderr io.Writer) int {
	flags := newFlags("status", stderr)
	asJSON := flags.Bool("json", false, "print JSON")
	again := flags.Bool("watch", false, "show it anew every second, until q or Ctrl-C; on a terminal with views and keys, as the dashboard")
	address := adminFlags(flags)
	if status, ok := parse(flags, args); !ok {
		return status
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *again && !*asJSON {
		if done, err := watchStatus(ctx, stdout, *address); err != nil {
			fmt.Fprintln(stderr, "poolproxy status:", err)
			return exitFailed
		} else if done {
			return exitOK
		}
	}
	for first := true; ; first = false {
		err := showStatus(ctx, stdout, *address, *asJSON)
		if ctx.Err() != nil {
			return exitOK
		}
		if err != nil {
			fmt.Fprintln(stderr, "poolproxy status:", err)
		}
		switch {
		case err != nil && first || err != nil && !*again: // later on it may have been started anew
			return exitFailed
		case !*again:
			return exitOK
		}
		select {
		case <-ctx.Done():
			return exitOK
		case <-time.After(watchInterval):
		}
	}
}

// watchStatus shows the status on a terminal, with views and keys, until the user ends it. Of what is no terminal it is not done. The error is that there
// was no first answer: later on they are shown.
func watchStatus(ctx context.Context, stdout io.Writer, address adminPlace) (done bool, err error) {
	out, is := stdout.(*os.File)
	if !is || !terminal.Is(out) {
		return false, nil
	}
	ask := func(ctx context.Context) (board.View, error) {
		text, err := askStatus(ctx, address)
		if err != nil {
			return board.View{}, err
		}
		var status proxy.Status
		if err := json.Unmarshal(text, &status); err != nil {
			return board.View{}, notStatus(address, err)
		}
		return dashboard(status, proxy.Admin{}), nil
	}
	if _, err := ask(ctx); err != nil {
		return false, err
	}
	return true, terminal.Run(ctx, os.Stdin, out, address.String(), ask)
}

// notStatus is the error of an answer that is no status.
func notStatus(address adminPlace, err error) error {
	return address.foreign(fmt.Sprintf("what it answers to GET /v1/status is not the status of a poolproxy, or of one of another version (%v)", err))
}

// showStatus asks once and prints the answer in one write, so that a watched screen does not flicker.
func showStatus(ctx context.Context, w io.Writer, address adminPlace, asJSON bool) error {
	text, err := askStatus(ctx, address)
	if err != nil {
		return err
	}
	if !asJSON {
		var status proxy.Status
		if err := json.Unmarshal(text, &status); err != nil {
			return notStatus(address, err)
		}
		var page bytes.Buffer
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
		err = address.foreign(fmt.Sprintf("it answers GET /v1/status with %d %s", status, http.StatusText(status)))
	}
	if err == nil {
		err = isStatus(address, text)
	}
	return text, err
}

// isStatus tells a status from JSON of another server.
func isStatus(address adminPlace, text []byte) error {
	var is struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &is); err != nil {
		return notStatus(address, err)
	}
	if is.Version == "" {
		return notStatus(address, errors.New("there is no version in it"))
	}
	return nil
}
