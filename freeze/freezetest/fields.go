// Package freezetest is for the tests of packages whose state can be frozen.
package freezetest

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Fields holds that each field of these structs is named in one of the files, which freeze and thaw them, or stands in left ("Type.field") with the
// reason why it does not leave its process: so a field that somebody adds is not forgotten. Files of tests do not count.
func Fields(t *testing.T, files []string, left map[string]string, structs ...any) {
	t.Helper()
	var text strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		p, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(p)
	}
	for _, x := range structs {
		typ := reflect.TypeOf(x)
		for i := range typ.NumField() {
			field := typ.Name() + "." + typ.Field(i).Name
			_, known := left[field]
			shown := regexp.MustCompile(`\.` + typ.Field(i).Name + `\b`).MatchString(text.String())
			if !known && !shown {
				t.Errorf("%s is neither frozen nor in notFrozen", field)
			}
		}
	}
}
