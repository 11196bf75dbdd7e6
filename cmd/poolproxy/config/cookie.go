package config

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/poolproxy/poolproxy/session"
)

// mostKey bounds a file with a key, in bytes.
const mostKey = 4096

// cookieKey reads the key by which the elements of a pool sign cookies, from the file that is named.
func (r *reader) cookieKey(dst *[]byte) setter {
	return func(a *hclsyntax.Attribute) {
		hint := fmt.Sprintf("The same file stands beside every pool_element of the pool. Make one: head -c 32 /dev/urandom > KEY; chmod 600 KEY. "+
			"Write: %s = \"/path/to/KEY\".", a.Name)
		path, ok := r.text(a.Name, a.Expr, hint)
		if !ok {
			return
		}
		if !filepath.IsAbs(path) {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q is not the full path of a file", path), hint)
			return
		}
		key, err := readKey(path)
		if err != nil {
			r.fail(a.Expr.Range(), fmt.Sprintf("%q cannot be used: %v", a.Name, err), hint)
			return
		}
		*dst = key
	}
}

// readKey reads a key. One end of line behind it is not a part of it, so that editors do no harm; but a file of just the least size is
// taken as it is: it may be random bytes.
func readKey(path string) ([]byte, error) {
	key, err := readSecret(path, mostKey, "who has the key can forge cookies")
	if err != nil {
		return nil, err
	}
	key = withoutLineEnd(key, session.LeastCookieKey)
	if len(key) < session.LeastCookieKey {
		return nil, fmt.Errorf("%s has %d bytes; a key has at least %d", path, len(key), session.LeastCookieKey)
	}
	return key, nil
}

// readSecret reads a file of at most most bytes that must not be for everybody; harm says why.
func readSecret(path string, most int64, harm string) ([]byte, error) {
	info, err := os.Stat(path) // before it is opened: that of a pipe would wait
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("%s may be used by everybody on this machine (its mode is %04o): %s", path, mode, harm)
	}
	secret, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(secret)) > most {
		err = fmt.Errorf("%s is longer than %d bytes: is it the right file?", path, most)
	}
	return secret, err
}

// withoutLineEnd takes one end of line off a secret that has at least so many bytes without it.
func withoutLineEnd(secret []byte, least int) []byte {
	for _, c := range []byte("\n\r") {
		if last := len(secret) - 1; last >= least && secret[last] == c {
			secret = secret[:last]
		}
	}
	return secret
}
