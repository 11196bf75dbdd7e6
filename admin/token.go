package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
)

// The bounds of a token, in bytes: a shorter one can be guessed.
const (
	leastToken = 16
	mostToken  = 1024
)

// Token is what those must know who change something, or who ask from elsewhere. It is in a file, which is read each time: whoever writes
// another one into it has changed it, and whoever removes it lets nobody in any more. It may be used from many goroutines.
type Token struct{ path string }

// LoadToken makes sure that there is a token in the file, a single line that is not for everybody to read. The error names the file.
func LoadToken(path string) (*Token, error) {
	t := &Token{path}
	_, err := t.read()
	return t, err
}

func (t *Token) read() (string, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return "", err // it names the file
	}
	defer f.Close() // nothing was written to it
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o007 != 0 {
		return "", fmt.Errorf("%s may be used by everybody (mode %04o): chmod o-rwx it", t.path, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, mostToken+2))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", t.path, err)
	}
	token := strings.TrimRight(string(text), "\r\n")
	if len(token) < leastToken || len(token) > mostToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("%s holds no token: it is one line of %d to %d bytes without spaces, as from: openssl rand -hex 32", t.path, leastToken, mostToken)
	}
	return token, nil
}

var errNotToken = errors.New("it is not the token")

// check says whether somebody knows the token; nil: he does. How long it takes does not tell how much of it was right.
func (t *Token) check(given string) error {
	token, err := t.read()
	if err != nil {
		return err
	}
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given))
	if subtle.ConstantTimeCompare(want[:], got[:]) != 1 {
		return errNotToken
	}
	return nil
}
