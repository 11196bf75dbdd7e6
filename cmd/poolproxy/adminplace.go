package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// adminPlace is where the admin API of a running proxy is, and what it is to be shown.
type adminPlace struct {
	address          string // "host:port", "https://host:port", or "unix:/path"
	token            string // the path of a file with the token; "": there is none
	cacert, key, crt string // paths of files in PEM; "": there is none
}

// String is the address.
func (a adminPlace) String() string { return a.address }

// adminFlags adds what every command has that asks a running proxy.
func adminFlags(flags *flag.FlagSet) *adminPlace {
	a := &adminPlace{}
	flags.StringVar(&a.address, "admin", defaultAdminAddress, "`ADDRESS` of the proxy's admin API (admin.listen): host:port, https://host:port or unix:/path")
	flags.StringVar(&a.token, "token-file", "", "`FILE` with the token that the proxy wants (admin.token_file)")
	a.certificates(flags)
	return a
}

// certificates adds what is said of TLS.
func (a *adminPlace) certificates(flags *flag.FlagSet) {
	flags.StringVar(&a.cacert, "cacert", "", "`FILE` with the authorities of the admin API's certificate; without it the system's")
	flags.StringVar(&a.crt, "cert", "", "`FILE` with a certificate, if the admin API asks for one")
	flags.StringVar(&a.key, "key", "", "`FILE` with its key")
}

// adminPlaces are those of several processes.
type adminPlaces struct {
	addresses, tokens words
	adminPlace        // what is the same for all
}

// words are the values of a flag that may be there several times.
type words []string

func (w *words) String() string { return strings.Join(*w, " ") }

// Set is called by package flag.
func (w *words) Set(word string) error {
	*w = append(*w, word)
	return nil
}

// adminsFlags adds what a command has that asks several running processes.
func adminsFlags(flags *flag.FlagSet) *adminPlaces {
	a := &adminPlaces{}
	flags.Var(&a.addresses, "admin", "`ADDRESS` of a process's admin API: host:port, https://host:port or unix:/path; repeat it for each process (default "+
		defaultAdminAddress+")")
	flags.Var(&a.tokens, "token-file", "`FILE` with the token that they want (admin.token_file); if they want different ones, one for each -admin, in that order")
	a.certificates(flags)
	return a
}

// all are the places, in the order in which they were said.
func (a *adminPlaces) all() ([]adminPlace, error) {
	addresses := a.addresses
	if len(addresses) == 0 {
		addresses = words{defaultAdminAddress}
	}
	if len(a.tokens) > 1 && len(a.tokens) != len(addresses) {
		return nil, fmt.Errorf("-token-file was said %d times, and -admin %d times: say it once for all, or once for each", len(a.tokens), len(addresses))
	}
	var all []adminPlace
	for i, address := range addresses {
		at := a.adminPlace
		at.address = address
		if len(a.tokens) > 0 {
			at.token = a.tokens[min(i, len(a.tokens)-1)]
		}
		all = append(all, at)
	}
	return all, nil
}

// reach says how to get there.
func (a adminPlace) reach() (base string, _ *http.Transport, err error) {
	t := &http.Transport{DisableKeepAlives: true} // no proxy of the environment: it is this machine's, or one that was named
	if path, is := strings.CutPrefix(a.address, "unix:"); is {
		if !filepath.IsAbs(path) {
			return "", nil, fmt.Errorf("-admin %q is not the full path of a unix socket, as in unix:/run/poolproxy/admin.sock", a.address)
		}
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
		return "http://localhost", t, nil
	}
	host, secured := strings.CutPrefix(a.address, "https://")
	host = strings.TrimSuffix(host, "/")
	if secured = secured || a.cacert != "" || a.crt != "" || a.key != ""; !secured {
		return "http://" + host, t, nil
	}
	t.TLSClientConfig, err = a.secured()
	return "https://" + host, t, err
}

// secured is how the admin API is spoken to in TLS.
func (a adminPlace) secured() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.cacert != "" {
		text, err := os.ReadFile(a.cacert)
		if err != nil {
			return nil, fmt.Errorf("-cacert: %w", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("-cacert %s: there is no certificate in it", a.cacert)
		}
	}
	if (a.crt == "") != (a.key == "") {
		return nil, errors.New("-cert and -key belong together: write both, or none")
	}
	if a.crt != "" {
		cert, err := tls.LoadX509KeyPair(a.crt, a.key)
		if err != nil {
			return nil, fmt.Errorf("-cert and -key: %w", err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// mostTokenFile bounds what is read of a file with a token, in bytes.
const mostTokenFile = 4096

// authorize adds the token to a request.
func (a adminPlace) authorize(r *http.Request) error {
	if a.token == "" {
		return nil
	}
	f, err := os.Open(a.token)
	if err != nil {
		return fmt.Errorf("-token-file: %w", err)
	}
	defer f.Close() // nothing was written to it
	text, err := io.ReadAll(io.LimitReader(f, mostTokenFile))
	token := strings.TrimSpace(string(text))
	if err == nil && (token == "" || strings.ContainsAny(token, "\r\n")) {
		err = errors.New("there is no token in it, or more than one line")
	}
	if err != nil {
		return fmt.Errorf("-token-file %s: %w", a.token, err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return nil
}

// unreachable says why there is no answer.
func (a adminPlace) unreachable(err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("nothing listens on %s. Is poolproxy running? Its admin.listen may be off, or another address: see -admin", a)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not use %s: its socket is for the user that poolproxy runs as (%w)", a, err)
	}
	if alert := (*net.OpError)(nil); errors.As(err, &alert) && alert.Op == "remote error" { // of TLS
		return fmt.Errorf("%s does not take this certificate, or none: see -cert and -key, and its admin.tls (%w)", a, err)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("%s has ended the connection before it had answered: either poolproxy has ended, its log says why; or it wants https:// (%w)", a, err)
	}
	if text := err.Error(); strings.Contains(text, "malformed HTTP") { // net/http has no error of its own for that
		return a.foreign("what listens there does not speak HTTP (" + strings.Map(printable, text) + ")")
	}
	return fmt.Errorf("%s does not answer; check -admin: %w", a, err)
}

// foreign is the error of an answer that no admin API of a poolproxy gives.
func (a adminPlace) foreign(what string) error {
	return fmt.Errorf("%s is not the admin address of a poolproxy: %s. Write -admin ADDRESS as in admin.listen of the proxy's configuration (%s where that says nothing): "+
		"the ports of pool_users and pool_elements are for clients and servers", a, what, defaultAdminAddress)
}

// answersAsAdmin reports whether this may be an answer of the admin API to a question below /v1/: JSON, or nothing if nothing was to be said.
func answersAsAdmin(status int, text []byte) bool {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 {
		return status < 300
	}
	return text[0] == '{' || text[0] == '['
}

// otherServer says how a server has answered that is not a poolproxy's.
func otherServer(method, path string, r *http.Response, text []byte) string {
	what := "another HTTP server"
	if name := r.Header.Get("Server"); name != "" {
		what += fmt.Sprintf(" (%.60s)", strings.Map(printable, name))
	}
	what = fmt.Sprintf("%s, or a poolproxy of another version, answers %s %s there with %d %s", what, method, path, r.StatusCode, http.StatusText(r.StatusCode))
	if line, _, _ := strings.Cut(strings.TrimSpace(string(text[:min(len(text), 120)])), "\n"); strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") && line != "" {
		what += ": " + strings.Map(printable, line)
	}
	return what
}

// callAdmin asks the admin API of a running proxy, with a body of JSON if there is one, and returns the HTTP status and the answer, at most
// maxStatus bytes.
func callAdmin(ctx context.Context, at adminPlace, method, path string, body any) (status int, text []byte, err error) {
	return callAdminFor(ctx, adminTimeout, at, method, path, body)
}

// callAdminFor is callAdmin of what takes longer.
func callAdminFor(ctx context.Context, limit time.Duration, at adminPlace, method, path string, body any) (status int, text []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	in, err := jsonBody(body)
	if err != nil {
		return 0, nil, err
	}
	base, transport, err := at.reach()
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, base+path, in)
	if err != nil {
		return 0, nil, fmt.Errorf("-admin %q is not an address; write host:port, as in %s, or unix:/path", at, defaultAdminAddress)
	}
	if err := at.authorize(request); err != nil {
		return 0, nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, at.unreachable(err)
	}
	defer response.Body.Close()
	text, err = io.ReadAll(io.LimitReader(response.Body, maxStatus+1))
	if err == nil && len(text) > maxStatus {
		err = fmt.Errorf("more than %d bytes", maxStatus)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading the answer of %s: %w", at, err)
	}
	if strings.HasPrefix(path, "/v1/") && !answersAsAdmin(response.StatusCode, text) {
		return 0, nil, at.foreign(otherServer(method, path, response, text))
	}
	return response.StatusCode, text, nil
}
