package asap

import (
	"fmt"
	"strings"
)

// CauseCode is why something is refused (RFC 5354 §3.12). A code that is not known means CauseUnspecified; rsplib has many of
// its own.
type CauseCode uint16

const (
	CauseUnspecified              CauseCode = 0x0
	CauseUnrecognizedParameter    CauseCode = 0x1 // information: the parameter, whole
	CauseUnrecognizedMessage      CauseCode = 0x2 // information: the message, whole
	CauseInvalidValues            CauseCode = 0x3 // information: the parameter that has them
	CauseNonUniquePE              CauseCode = 0x4
	CauseInconsistentPolicy       CauseCode = 0x5 // information: a Policy, the pool's
	CauseLackOfResources          CauseCode = 0x6
	CauseInconsistentTransport    CauseCode = 0x7 // information: a Transport, of the pool's kind
	CauseInconsistentTransportUse CauseCode = 0x8
	CauseUnknownPoolHandle        CauseCode = 0x9
	CauseSecurity                 CauseCode = 0xa
)

var causeNames = [...]string{
	CauseUnspecified:              "unspecified error",
	CauseUnrecognizedParameter:    "unrecognized parameter",
	CauseUnrecognizedMessage:      "unrecognized message",
	CauseInvalidValues:            "invalid values",
	CauseNonUniquePE:              "PE identifier is not unique",
	CauseInconsistentPolicy:       "policy differs from the pool's",
	CauseLackOfResources:          "lack of resources",
	CauseInconsistentTransport:    "transport differs from the pool's",
	CauseInconsistentTransportUse: "data/control configuration differs from the pool's",
	CauseUnknownPoolHandle:        "unknown pool handle",
	CauseSecurity:                 "rejected due to security considerations",
}

func (c CauseCode) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return fmt.Sprintf("cause 0x%04x", uint16(c))
}

// Cause is an error cause. Information that is a parameter can be read by Dialect.ParseParameter, and written by
// AppendParameter.
type Cause struct {
	Code CauseCode
	Info []byte // cause-specific information
}

// maxCauses is how many causes an Operation Error may have. The RFC sets no limit.
const maxCauses = 64

// OperationError is one or more causes (RFC 5354 §3.12).
type OperationError []Cause

// String lists the causes by name, for people.
func (e OperationError) String() string {
	names := make([]string, len(e))
	for i, c := range e {
		names[i] = c.Code.String()
	}
	return strings.Join(names, ", ")
}

func (OperationError) Type() ParameterType { return ParameterOperationError }

func (e OperationError) check(Dialect) error {
	switch {
	case len(e) == 0:
		return fmt.Errorf("%w: it holds no cause (RFC 5354 §3.12)", ErrMissing)
	case len(e) > maxCauses:
		return fmt.Errorf("%w: %d causes, more than %d", ErrLimit, len(e), maxCauses)
	}
	for _, c := range e {
		if err := checkOpaque(c.Info); err != nil {
			return err
		}
	}
	return nil
}

func (e OperationError) appendValue(w *writer) {
	for _, c := range e {
		at := w.open(uint16(c.Code))
		w.bytes(c.Info)
		w.close(at)
	}
}

func (r *reader) causes(t tlv) (OperationError, error) {
	var e OperationError
	for at := t.at + headerSize; at < t.end && len(e) <= maxCauses; {
		c, err := r.header(at, t.end)
		if err != nil {
			return nil, err
		}
		e = append(e, Cause{CauseCode(c.kind), r.value(c)})
		at += padded(c.end - c.at)
	}
	return e, r.judge(t, e)
}
