//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// installHaproxy fetches Debian's package when it is missing and this may be done. The error says why there is none.
func installHaproxy() error {
	if _, err := exec.LookPath("haproxy"); err == nil {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("haproxy is not installed, and only root could: apt-get install haproxy")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	fmt.Fprintln(os.Stderr, "bench: installing haproxy")
	if _, err := capture(ctx, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "haproxy"); err != nil {
		if _, err := capture(ctx, "apt-get", "update", "-qq"); err != nil {
			return err
		}
		if _, err := capture(ctx, "apt-get", "install", "-y", "-qq", "--no-install-recommends", "haproxy"); err != nil {
			return err
		}
	}
	_, err := exec.LookPath("haproxy")
	return err
}

// haproxyVersion is its first line, "" if it is not there.
func haproxyVersion() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	text, err := capture(ctx, "haproxy", "-v")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(text, "\n")
	first, _, _ = strings.Cut(first, " - ")
	return strings.TrimSpace(first)
}

// buildPoolproxy builds the proxy of this working tree into folder; env is added to the environment.
func buildPoolproxy(folder string, env ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	binary := filepath.Join(folder, "poolproxy")
	if _, err := capture(ctx, "env", append(env, "go", "build", "-o", binary, "github.com/poolproxy/poolproxy/cmd/poolproxy")...); err != nil {
		return "", err
	}
	return binary, nil
}

// nginxMissing says why nginx cannot be measured; nil if it can.
func nginxMissing() error {
	if _, err := exec.LookPath("nginx"); err != nil {
		return fmt.Errorf("%w: apt-get install libnginx-mod-stream", err)
	}
	if _, err := os.Stat(nginxModule); err != nil {
		return fmt.Errorf("%w: apt-get install libnginx-mod-stream", err)
	}
	return nil
}

// redisMissing says why redis cannot be measured; nil if it can.
func redisMissing() error {
	for _, program := range []string{"redis-server", "redis-benchmark"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: apt-get install redis-server redis-tools", err)
		}
	}
	return nil
}
