package asap

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// dialectOf makes a dialect of a byte, so that all eight are tried.
func dialectOf(b byte) Dialect {
	return Dialect{LifeMilliseconds: b&1 != 0, PaddedLengths: b&2 != 0, TCPUse: b&4 != 0}
}

// fits says whether an error of writing is the one that is in order: the peer left out padding that this dialect counts, and the message
// was already of the greatest length.
func fits(err error, read []byte) bool { return !errors.Is(err, ErrTooLong) || len(read) < 1<<16-64 }

// FuzzParse gives Parse arbitrary bytes. It must not panic and must not change them; what it took must be written as a message that means
// the same, and is written the same again; what it did not take must be an error of the package's; and what it wants reported must be a
// message.
func FuzzParse(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(f, v.wire), byte(0))
		f.Add(unhex(f, v.wire), byte(7))
	}
	for _, p := range parameters {
		f.Add(message(f, TypeServerAnnounce, "00000001"+p.wire), byte(0))
		f.Add(message(f, TypeRegistration, echoPoolHex+p.wire), byte(7))
		f.Add(message(f, TypeError, "000c0100"+strings.Repeat(p.wire, 3)), byte(0))
	}
	f.Add(message(f, TypeCookie, "000d0004c0110005bb00000040110004"), byte(0))
	f.Add(message(f, 0x4f, "c0110005bb000000"), byte(0))
	f.Fuzz(func(t *testing.T, wire []byte, dialect byte) {
		d, before := dialectOf(dialect), bytes.Clone(wire)
		m, report, err := d.Parse(wire)
		if (m == nil) != (err != nil) || !bytes.Equal(wire, before) {
			t.Fatalf("message %v, error %v, bytes changed: %v", m, err, !bytes.Equal(wire, before))
		}
		checkReport(t, d, wire, report)
		if err != nil {
			checkError(t, err)
			return
		}
		out, err := d.Append(nil, m)
		if err != nil {
			if fits(err, wire) {
				t.Fatalf("%+v cannot be written: %v", m, err)
			}
			return
		}
		again, report, err := d.Parse(out)
		if err != nil || report != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("read\n%+v\nwritten and read again\n%+v, report %v, %v", m, again, report, err)
		}
		if twice, err := d.Append(nil, again); err != nil || !bytes.Equal(twice, out) {
			t.Fatalf("written\n%x\nand again\n%x, %v", out, twice, err)
		}
		if n, err := Size(out); n != len(out) || err != nil {
			t.Fatalf("%d bytes are sized as %d, %v", len(out), n, err)
		}
	})
}

// checkReport checks that a report is bounded, is not the answer to an ERROR, and can be sent.
func checkReport(t *testing.T, d Dialect, wire []byte, report OperationError) {
	t.Helper()
	if report == nil {
		return
	}
	if len(report) > maxReported || MessageType(wire[0]) == TypeError {
		t.Fatalf("%d causes in answer to type %d", len(report), wire[0])
	}
	out, err := d.Append(nil, ErrorMessage{Errors: report})
	if err != nil {
		if fits(err, wire) {
			t.Fatalf("the report cannot be written: %v", err)
		}
		return
	}
	m, more, err := d.Parse(out)
	if err != nil || more != nil || !reflect.DeepEqual(m, ErrorMessage{Errors: report}) {
		t.Fatalf("the report reads %v, %v, %v", m, more, err)
	}
}

// checkError checks that an error is one that callers can tell.
func checkError(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{ErrTruncated, ErrLength, ErrValue, ErrMissing, ErrMisplaced, ErrLimit, ErrUnknown} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("not an error of this package: %v", err)
}

// FuzzParseParameter is FuzzParse for single parameters.
func FuzzParseParameter(f *testing.F) {
	for _, p := range parameters {
		f.Add(unhex(f, p.wire), byte(0))
		f.Add(unhex(f, p.wire), byte(7))
	}
	f.Fuzz(func(t *testing.T, wire []byte, dialect byte) {
		d := dialectOf(dialect)
		p, n, err := d.ParseParameter(wire)
		if err != nil {
			if p != nil || n != 0 {
				t.Fatalf("%v, %d with %v", p, n, err)
			}
			checkError(t, err)
			return
		}
		if n < headerSize || n > len(wire) {
			t.Fatalf("it takes %d of %d bytes", n, len(wire))
		}
		out, err := d.AppendParameter(nil, p)
		if err != nil {
			if fits(err, wire) {
				t.Fatalf("%+v cannot be written: %v", p, err)
			}
			return
		}
		again, n, err := d.ParseParameter(out)
		if err != nil || n != len(out) || !reflect.DeepEqual(again, p) {
			t.Fatalf("read\n%+v\nwritten and read again\n%+v, %d of %d, %v", p, again, n, len(out), err)
		}
		if twice, err := d.AppendParameter(nil, again); err != nil || !bytes.Equal(twice, out) {
			t.Fatalf("written\n%x\nand again\n%x, %v", out, twice, err)
		}
	})
}
