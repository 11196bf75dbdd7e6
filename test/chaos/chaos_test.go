//go:build linux

package chaos

import "testing"

// TestMatrix plays every cell there is.
func TestMatrix(t *testing.T) {
	needs(t, "ip", "etcd")
	w, err := newWorld(plan{name: "matrix", level: "debug", mappings: []string{"tcp", "none"}, dialects: dialects[:1]})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for _, f := range failures {
		if f.id == "etcd-leader" {
			continue
		}
		for _, s := range states {
			all, err := newStep(w, w.columns, f, s, 1).play()
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range all {
				t.Logf("%s/%s/%s: struck %d, gaps %v, %v", f.id, s.id, o.column.name, o.struck, o.gaps, o.verdict)
				if !o.good {
					t.Errorf("%v", o.verdict.Findings)
				}
			}
		}
	}
}
