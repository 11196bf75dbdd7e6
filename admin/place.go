package admin

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/poolproxy/poolproxy/internal/sockets"
)

// listen listens at the address, or at the path of a unix socket if there is one; or takes the socket of a server that does.
func listen(addr netip.AddrPort, o *Options, instead *Server) (net.Listener, error) {
	if o.Unix == "" && !addr.Addr().IsLoopback() && o.Token == nil && !o.Mutual {
		return nil, fmt.Errorf("admin: %s is beyond this machine: that needs a token_file or mutual TLS", addr)
	}
	if instead != nil {
		l, err := takeOver(instead.socket)
		if err != nil {
			return nil, fmt.Errorf("admin: the socket at %s cannot be taken over: %w", instead.Where(), err)
		}
		return l, nil
	}
	if o.Unix != "" {
		l, err := listenUnix(o.Unix, o.Successor)
		if err != nil {
			return nil, fmt.Errorf("admin: cannot listen on unix:%s; see admin.listen: %w", o.Unix, err)
		}
		return l, nil
	}
	l, err := sockets.Given.Listen(addr)
	if err != nil {
		return nil, fmt.Errorf("admin: cannot listen on %s; is another poolproxy running? See admin.listen: %w", addr, err)
	}
	return l, nil
}

// inTLS is a socket in TLS, if that is wanted: not a unix socket.
func inTLS(socket net.Listener, o *Options) net.Listener {
	if o.TLS == nil || o.Unix != "" {
		return socket
	}
	return tls.NewListener(socket, o.TLS)
}

// takeOver is another descriptor of a listening socket. The name of a unix socket goes with it: from then on it is the other one's to remove.
func takeOver(socket net.Listener) (net.Listener, error) {
	filed, is := socket.(interface{ File() (*os.File, error) })
	u, named := socket.(*unixListener)
	if named {
		filed, is = u.Listener.(*net.UnixListener)
	}
	if !is {
		return nil, errors.New("it is no socket of this system")
	}
	f, err := filed.File()
	if err != nil {
		return nil, err
	}
	defer f.Close() // the listener has its own
	l, err := net.FileListener(f)
	if err != nil || !named {
		return l, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	return &unixListener{Listener: l, path: u.path, from: u}, nil
}

// unixListener is a unix socket that takes its name with it.
type unixListener struct {
	net.Listener
	path string
	made fs.FileInfo   // nil: the name is another one's
	from *unixListener // whose name it is until keeps; nil: nobody's
	once sync.Once
}

var errInUse = errors.New("somebody listens there; is another poolproxy running?")

// listenUnix makes a socket that its owner alone can use (mode 0600), from its first moment: it gets its name when it has its mode. One that
// a dead process has left is replaced, and that of a living one by its successor.
func listenUnix(path string, successor bool) (net.Listener, error) {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there, and is no socket", path)
	default:
		if successor {
			break
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			conn.Close() // nothing was said
			return nil, errInUse
		}
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".pp-*") // mode 0700; a short name, since those of sockets are bounded
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	first := filepath.Join(dir, "s")
	l, err := net.Listen("unix", first)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	u := &unixListener{Listener: l, path: path}
	if err = os.Chmod(first, 0o600); err == nil {
		if err = os.Rename(first, path); err == nil {
			u.made, err = os.Lstat(path)
		}
	}
	if err != nil {
		l.Close() // it was not used
		return nil, err
	}
	return u, nil
}

// keeps has the name be its own from now on.
func (u *unixListener) keeps() {
	if u.from != nil {
		u.made, u.from.made, u.from = u.from.made, nil, nil
	}
}

// Close ends it, and removes its name if nobody has taken that since.
func (u *unixListener) Close() error {
	u.once.Do(func() {
		if now, err := os.Lstat(u.path); err == nil && u.made != nil && os.SameFile(now, u.made) {
			_ = os.Remove(u.path) // if it stays, the next one replaces it
		}
	})
	return u.Listener.Close()
}
