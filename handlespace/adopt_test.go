package handlespace

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// What another process had registered is kept up under its id, from when it was registered on, also while the source is down.
func TestAdopt(t *testing.T) {
	r := newRig(t)
	down := errors.New("down")
	r.source.told = []error{down}
	was := Kept{Registration: registration("p", "a"), ID: "an id of another process", Since: start.Add(-time.Hour)}
	was.Element.Mapping = "tcp"
	if err := r.Adopt(was); err != nil {
		t.Fatal(err)
	}
	all := r.Registrations()
	if len(all) != 1 || all[0].ID != was.ID || !all[0].Since.Equal(was.Since) || !errors.Is(all[0].Err, down) {
		t.Errorf("%+v", all)
	}
	if err := r.Adopt(was); !errors.Is(err, ErrInvalid) {
		t.Errorf("twice: %v", err)
	}
	if _, err := r.Deregister(t.Context(), was.ID); err != nil || len(r.source.left()) != 0 {
		t.Error(err, r.source.left())
	}
	for _, k := range []Kept{{Registration: was.Registration}, {Registration: was.Registration, ID: strings.Repeat("x", maxID+1)},
		{Registration: registration("nowhere", "a"), ID: "1"}, {Registration: registration("p", ""), ID: "1"}} {
		if err := r.Adopt(k); err == nil || len(r.Registrations()) > 0 {
			t.Errorf("%+v was adopted", k)
		}
	}
}
