package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// ErrUnauthorized is wrapped by the errors of those who do not know the token.
var ErrUnauthorized = errors.New("not without the token")

// auth lets those pass who know the token, where one is needed: for what changes something, and, beyond this machine and without mutual
// TLS, for everything but /healthz, which tells nothing.
type auth struct {
	token   *Token
	all     bool
	refused func(reason string)
	log     hclog.Logger
	next    http.Handler

	mu   sync.Mutex
	said map[string]said // guarded by mu: by the reason, of which there are three
}

// said is what the log has of refusals of one reason.
type said struct {
	last time.Time // when one was in the log
	more int       // how many there were since
}

// sayEvery is how often refusals of one reason are in the log: who tries tokens must not fill it.
const sayEvery = time.Second

func (a *auth) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if reads && (!a.all || r.URL.Path == "/healthz") {
		a.next.ServeHTTP(w, r)
		return
	}
	given, reason := credential(r), "no_token"
	err := errors.New("the request has none: send it as Authorization: Bearer TOKEN")
	if given != "" {
		reason = "wrong_token"
		if err = a.token.check(given); err == nil {
			a.next.ServeHTTP(w, r)
			return
		}
		if !errors.Is(err, errNotToken) {
			reason = "no_token_file"
		}
	}
	a.say(r, reason, err)
	// A browser asks its user for a name and a password, for a page that it shows; scripts in a page ask by themselves.
	challenge := `Bearer realm="poolproxy"`
	if reads {
		challenge = `Basic realm="poolproxy: any name, and the token as password", charset="UTF-8"`
	}
	w.Header().Set("WWW-Authenticate", challenge)
	if reason == "no_token_file" {
		err = errors.New("this proxy cannot read its token: see its log")
	}
	fail(w, fmt.Errorf("%w: %w", ErrUnauthorized, err))
}

// credential is what a request has for a token, in either form; "" is nothing.
func credential(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// say counts a refusal, and logs it, not more often than sayEvery: each reason by itself, since what an answer says to be in the log has to be there.
func (a *auth) say(r *http.Request, reason string, err error) {
	if a.refused != nil {
		a.refused(reason)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now, of := time.Now(), a.said[reason]
	if now.Sub(of.last) < sayEvery {
		of.more++
		a.said[reason] = of
		return
	}
	a.log.Warn("refused", "from", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "reason", reason, "error", err, "others_since", of.more)
	if a.said == nil {
		a.said = make(map[string]said)
	}
	a.said[reason] = said{last: now}
}
