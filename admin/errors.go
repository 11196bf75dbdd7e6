package admin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/poolproxy/poolproxy/handlespace"
	"github.com/poolproxy/poolproxy/pool"
)

// ErrorCode says what kind an error is. They are part of the API.
type ErrorCode string

// The codes of errors.
const (
	UnknownPool  ErrorCode = "unknown_pool"
	EmptyPool    ErrorCode = "empty_pool"
	Inconsistent ErrorCode = "inconsistent_policy"
	Duplicate    ErrorCode = "duplicate_id"
	SourceDown   ErrorCode = "source_down"
	UnknownID    ErrorCode = "unknown_registration"
	NoRegistry   ErrorCode = "no_registry"
	BadRequest   ErrorCode = "bad_request"

	UnknownElement ErrorCode = "unknown_element"
	Unauthorized   ErrorCode = "unauthorized"
	NotReloaded    ErrorCode = "not_reloaded"
	NeedsRestart   ErrorCode = "needs_restart"
	NotRehearsed   ErrorCode = "not_rehearsed"

	ChaosDenied  ErrorCode = "chaos_denied"
	ChaosUnknown ErrorCode = "chaos_unknown"
	ChaosNothing ErrorCode = "chaos_nothing"

	Failed ErrorCode = "failed" // anything else
)

// Failure is the body of an answer that is an error.
type Failure struct {
	Error struct {
		Code    ErrorCode `json:"code"`
		Message string    `json:"message"`
	} `json:"error"`
}

// codes are the codes of errors, and the HTTP status that each is answered with.
var codes = []struct {
	err    error
	code   ErrorCode
	status int
}{
	{ErrNotReloaded, NotReloaded, http.StatusUnprocessableEntity},
	{ErrNeedsRestart, NeedsRestart, http.StatusConflict}, // these first: they may wrap others
	{ErrNotRehearsed, NotRehearsed, http.StatusConflict},
	{pool.ErrUnknownPool, UnknownPool, http.StatusNotFound},
	{ErrUnauthorized, Unauthorized, http.StatusUnauthorized},
	{ErrUnknownElement, UnknownElement, http.StatusNotFound},
	{ErrChaosDenied, ChaosDenied, http.StatusForbidden},
	{ErrChaosUnknown, ChaosUnknown, http.StatusNotFound},
	{ErrChaosNothing, ChaosNothing, http.StatusConflict},
	{ErrChaosRequest, BadRequest, http.StatusBadRequest},
	{pool.ErrEmptyPool, EmptyPool, http.StatusServiceUnavailable},
	{pool.ErrInconsistent, Inconsistent, http.StatusConflict},
	{pool.ErrDuplicate, Duplicate, http.StatusConflict},
	{handlespace.ErrUnknownID, UnknownID, http.StatusNotFound},
	{handlespace.ErrNoRegistry, NoRegistry, http.StatusConflict},
	{handlespace.ErrInvalid, BadRequest, http.StatusBadRequest},
	{handlespace.ErrTooMany, Failed, http.StatusServiceUnavailable},
	{handlespace.ErrClosed, Failed, http.StatusServiceUnavailable},
	{ErrUpgrading, Failed, http.StatusConflict},
	{pool.ErrSourceDown, SourceDown, http.StatusBadGateway}, // last: others may be wrapped by what a source says
}

// codeOf is the code of an error.
func codeOf(err error) ErrorCode {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return Failed
}

// fail answers with an error as JSON.
func fail(w http.ResponseWriter, err error) {
	var f Failure
	f.Error.Code, f.Error.Message = Failed, err.Error()
	status := http.StatusInternalServerError
	var refusal *Refusal
	if errors.As(err, &refusal) {
		f.Error.Code, status = BadRequest, refusal.Status
	} else {
		for _, c := range codes {
			if errors.Is(err, c.err) {
				f.Error.Code, status = c.code, c.status
				break
			}
		}
	}
	answer(w, status, f)
}

// bad is the error of a request that cannot be understood.
func bad(format string, args ...any) error {
	return &Refusal{http.StatusBadRequest, fmt.Errorf(format, args...)}
}
