package etcd

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What lies in etcd, below Config.Prefix:
//
//	pools/HANDLE/elements/NAME/MAPPING   an element (value.go), under the lease of who has registered it
//	pools/HANDLE/policy                  the word of the pool's policy, under the lease of one of its elements
//	pools/HANDLE/reports/NAME            that the element has failed, under a short lease
//
// HANDLE and NAME are escaped as in the path of a URL, so that none of them has a slash.
const (
	elementsDir = "elements/"
	reportsDir  = "reports/"
	policyKey   = "policy"
)

// mostName bounds a pool handle and an element's name, in bytes.
const mostName = 255

// anyMapping stands in a key for an element that has the mapping of its pool.
const anyMapping = "-"

// mappings are the words that pool.Element.Mapping knows.
var mappings = []string{"none", "tcp", "sctp"}

// poolDir is where all of a pool lies.
func poolDir(prefix, handle string) string {
	return strings.TrimSuffix(prefix, "/") + "/pools/" + url.PathEscape(handle) + "/"
}

// elementKey is where an element lies, below its pool's elements.
func elementKey(name, mapping string) string {
	if mapping == "" {
		mapping = anyMapping
	}
	return url.PathEscape(name) + "/" + mapping
}

// parseKey is the reverse of elementKey.
func parseKey(key string) (name, mapping string, err error) {
	escaped, mapping, ok := strings.Cut(key, "/")
	if !ok {
		return "", "", errors.New("its key is not NAME/MAPPING")
	}
	if name, err = parseName(escaped); err != nil {
		return "", "", err
	}
	if mapping == anyMapping {
		return name, "", nil
	}
	return name, mapping, checkMapping(mapping)
}

// parseName takes the name out of a part of a key. Each name has one key only.
func parseName(escaped string) (string, error) {
	name, err := url.PathUnescape(escaped)
	if err != nil || url.PathEscape(name) != escaped {
		return "", errors.New("the name in its key is not escaped as in a URL")
	}
	return name, checkName("its name", name)
}

// checkName bounds what is shown to people and stored by others.
func checkName(what, name string) error {
	switch {
	case name == "" || len(name) > mostName:
		return fmt.Errorf("%s has %d bytes, not 1 to %d", what, len(name), mostName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%s %q is no text in one line", what, name)
	}
	return nil
}

func checkMapping(mapping string) error {
	for _, m := range mappings {
		if m == mapping {
			return nil
		}
	}
	return fmt.Errorf("there is no mapping %.20q", mapping)
}
