package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/poolproxy/poolproxy/admin"
)

const (
	upgradeTimeout = 30 * time.Second

	// upgradeMargin is what an upgrade may take beyond -timeout: handing over, and ending a process that does not answer.
	upgradeMargin = 40 * time.Second
)

// upgradeCommand has a running proxy replaced by a new process that goes on with its connections.
func upgradeCommand(args []string, stdout, stderr io.Writer) int {
	p := newPrimitive("upgrade", stdout, stderr)
	binary := p.flags.String("binary", "", "`PATH` of the new program; if left out, the one that runs, as it lies at its place now")
	paths := configFlag(p.flags)
	lose := p.flags.Bool("lose", false, "end sessions that cannot be handed over; else there is no upgrade while there are any")
	timeout := p.flags.Duration("timeout", upgradeTimeout, "how long the new process may need until it could serve; then the old one goes on")
	if _, status, ok := p.parse(args); !ok {
		return status
	}
	if *timeout < time.Second || *timeout > admin.MaxUpgradeTime {
		return p.wrong("-timeout is %v; it can be from 1s to %v", *timeout, admin.MaxUpgradeTime)
	}
	asked := admin.Upgrade{Lose: *lose, Timeout: admin.Duration(timeout.Milliseconds())}
	var err error
	if *binary != "" { // the proxy has another working directory
		asked.Binary, err = filepath.Abs(*binary)
	}
	for _, path := range *paths {
		absolute, errPath := filepath.Abs(path)
		if errPath != nil {
			err = errPath
		}
		asked.Config = append(asked.Config, absolute)
	}
	if err != nil {
		return p.fail(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var done admin.Upgraded
	raw, err := askUpgrade(ctx, *p.address, asked, *timeout)
	if err == nil {
		err = json.Unmarshal(raw, &done)
	}
	switch {
	case err != nil:
		return p.fail(err)
	case *p.asJSON:
		p.stdout.Write(raw)
	default:
		fmt.Fprintf(p.stdout, "process %d serves now (%s): it was ready after %d ms, and nobody was served for %d ms\n", done.PID, done.Binary, done.Ready,
			done.Pause)
		if done.Lost > 0 {
			fmt.Fprintf(p.stdout, "%s could not be handed over, and ended; the log says which\n", plural(done.Lost, "session"))
		}
	}
	return exitOK
}

// askUpgrade asks the admin API, whose answer takes as long as the upgrade does.
func askUpgrade(ctx context.Context, address adminPlace, asked admin.Upgrade, timeout time.Duration) ([]byte, error) {
	status, text, err := callAdminFor(ctx, timeout+upgradeMargin, address, http.MethodPost, "/v1/upgrade", asked)
	if err != nil {
		return nil, err
	}
	return adminAnswer(address, status, text)
}
