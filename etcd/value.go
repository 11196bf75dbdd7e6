package etcd

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/poolproxy/poolproxy/pool"
)

const (
	// mostValue bounds the value of one element, in bytes.
	mostValue = 4096

	// mostPaths bounds the further addresses of one element.
	mostPaths = 15

	// version is that of the values written here. A value of another one is left out by those that do not know it.
	version = 1
)

// value is an element as it lies in etcd, in JSON. Its name and mapping are in the key. Fields that are not known are left alone: a later
// poolproxy may have more of them; if it changes the meaning of these it counts the version up.
type value struct {
	Version     int            `json:"version"`
	Instance    string         `json:"instance"` // of who has registered it: another one with every start
	Address     netip.AddrPort `json:"address"`
	Paths       []netip.Addr   `json:"paths,omitempty"`
	Policy      string         `json:"policy"` // of the pool, as its registrant knows it
	Weight      uint32         `json:"weight,omitempty"`
	Priority    uint32         `json:"priority,omitempty"`
	Load        uint32         `json:"load,omitempty"` // 0xffffffff is 100 %
	Degradation uint32         `json:"degradation,omitempty"`
}

// text is the value in JSON. The error is that of an element which can never be registered.
func (v value) text() (string, error) {
	v.Version = version
	if err := v.check(); err != nil {
		return "", err
	}
	b, err := json.Marshal(v)
	if err == nil && len(b) > mostValue {
		err = fmt.Errorf("it has %d bytes in JSON, more than %d", len(b), mostValue)
	}
	return string(b), err
}

// parseValue reads what anybody may have written.
func parseValue(b []byte) (v value, err error) {
	if len(b) > mostValue {
		return value{}, fmt.Errorf("it has %d bytes, more than %d", len(b), mostValue)
	}
	var head struct{ Version int }
	if err := json.Unmarshal(b, &head); err != nil {
		return value{}, fmt.Errorf("it is no JSON of an element: %w", err)
	}
	if head.Version != version {
		return value{}, fmt.Errorf("it has version %d, and %d is known here", head.Version, version)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return value{}, fmt.Errorf("it is no JSON of an element: %w", err)
	}
	v.Address = netip.AddrPortFrom(v.Address.Addr().Unmap(), v.Address.Port())
	for i, ip := range v.Paths {
		v.Paths[i] = ip.Unmap()
	}
	return v, v.check()
}

func (v *value) check() error {
	if !v.Address.IsValid() || v.Address.Port() == 0 {
		return errors.New("it has no address with a port")
	}
	if err := checkHost(v.Address.Addr()); err != nil {
		return err
	}
	if len(v.Paths) > mostPaths {
		return fmt.Errorf("it has %d paths, more than %d", len(v.Paths), mostPaths)
	}
	for _, ip := range v.Paths {
		if err := checkHost(ip); err != nil {
			return err
		}
	}
	if len(v.Instance) > mostName {
		return fmt.Errorf("its instance has %d bytes, more than %d", len(v.Instance), mostName)
	}
	_, err := policyOf(v.Policy)
	return err
}

// checkHost refuses what is no address of one host.
func checkHost(ip netip.Addr) error {
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || ip.Zone() != "" {
		return fmt.Errorf("nobody can be reached at %v", ip)
	}
	return nil
}

// policyOf finds the policy by its word.
func policyOf(word string) (pool.Policy, error) {
	for _, p := range append(pool.Standard(), pool.Application) {
		if p.String() == word {
			return p, nil
		}
	}
	return 0, fmt.Errorf("there is no policy %.40q", word)
}

// valueOf is what is registered for an element.
func valueOf(r pool.Registration, e pool.Element, instance string) value {
	return value{Instance: instance, Address: e.Address, Paths: e.Paths, Policy: r.Policy.String(),
		Weight: e.Weight, Priority: e.Priority, Load: e.Load, Degradation: e.Degradation}
}

// element is the one that a value tells of.
func (v *value) element(name, mapping string, revision int64) pool.Element {
	return pool.Element{Name: name, Mapping: mapping, Address: v.Address, Paths: v.Paths, Revision: revision,
		Weight: v.Weight, Priority: v.Priority, Load: v.Load, Degradation: v.Degradation}
}
