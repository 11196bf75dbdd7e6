package proxy

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strings"
	"unicode"

	"github.com/poolproxy/poolproxy/pool"
)

// change is one difference between two configurations.
type change struct {
	kind     string      // of the struct whose field is different: "User"
	field    string      // which field of that; "": it is about the whole block
	block    string      // whose: `pool_user "orders"`; "" for what stands outside of these
	what     string      // the setting, as it is written: "listen"; "": the block itself
	from, to string      // its values, for people; both "": they are secret, or too long
	pool     *poolChange // of the elements of a static pool; else nil
	restart  bool        // it cannot be made while the process runs
}

// poolChange are other elements of a static pool, or other values of the same ones.
type poolChange struct {
	handle   string
	elements []pool.Element // all that there are now
	pool.Change
}

// String is the difference for people, in one line.
func (c change) String() string {
	subject := strings.TrimSpace(c.block + " " + c.what)
	switch {
	case c.pool != nil:
		return c.block + " elements: " + c.pool.text()
	case c.what == "":
		return subject + " is " + c.to
	case c.from == c.to:
		return subject + " changed"
	}
	return fmt.Sprintf("%s changed from %s to %s", subject, c.from, c.to)
}

// text is the change for people.
func (c *poolChange) text() string {
	var all []string
	for _, x := range []struct {
		what  string
		names []string
	}{{"added", c.Added}, {"gone", c.Gone}, {"moved", c.Moved}, {"other values of", c.Valued}} {
		if len(x.names) > 0 {
			all = append(all, x.what+" "+some(x.names))
		}
	}
	return strings.Join(all, "; ")
}

// diff lists what is different, in the order of the configurations: first what stands by itself, then pools, pool_users and
// pool_elements, each by its name, so that the order of blocks is no difference. It is done by reflection, over all exported fields: one that is
// added to Config is compared by that. What cannot be compared (interfaces, functions) has to be named in settings.
func diff(old, new Config) []change {
	d := &differ{}
	d.fields(reflect.ValueOf(old), reflect.ValueOf(new))
	if a, b := old.Admin, new.Admin; a.Listen != b.Listen || a.Unix != b.Unix {
		d.field = "Admin"
		d.add(change{what: "admin.listen", from: a.place(), to: b.place()})
		d.field = ""
	}
	blocks(d, "pool", old.Pools, new.Pools, func(p *Pool) string { return p.Handle }, d.elements)
	blocks(d, "pool_user", old.Users, new.Users, func(u *User) string { return u.Name }, nil)
	blocks(d, "pool_element", old.Elements, new.Elements, func(e *Element) string { return e.Name }, nil)
	return d.changes
}

// setting says how a field of the configuration is compared, and what it is called.
type setting struct {
	word   string    // as it is written; "": the field's name in small letters
	values [2]string // of a bool, as they are written
	hidden bool      // its values are not told
	once   bool      // it cannot be changed while the process runs
	not    string    // why it is not compared; "": it is
}

// apart is why fields are not compared with the others of their struct.
const apart = "it is compared by itself, see diff"

// settings are the fields that are not what they seem: by type and name.
var settings = map[string]setting{
	"Config.Pools":    {not: apart},
	"Config.Users":    {not: apart},
	"Config.Elements": {not: apart},
	"Config.Watched":  {not: "what has the certificates is compared"},
	"Config.DNS":      {word: "dns"},
	"Admin.Listen":    {not: apart}, // an address and a socket are values of one setting
	"Admin.Unix":      {not: apart},
	"Admin.TLS":       {word: "tls"},
	"DNS.TTL":         {word: "ttl"},
	"Log.JSON":        {word: "format", values: [2]string{"text", "json"}, once: true},
	"Limits.Shards":   {once: true},

	"Config.Observers": {not: "Access and Traces say which there are"},
	"Config.Access":    {word: "access_log"},
	"Traces.OTLP":      {word: "otlp"},

	"Pool.dialer":       {not: "tests have it"},
	"Pool.Native":       {word: "peer", values: peerWords},
	"Pool.PPID":         {word: "ppid"},
	"Pool.UDPPort":      {word: "udp_port"},
	"Pool.Elements":     {not: apart},
	"Pool.Source":       {not: "SourceName and SourceDigest say which one it is"},
	"Pool.Rehearsals":   {word: "elements for rehearsals"},
	"Pool.SourceName":   {word: "source"},
	"Pool.SourceDigest": {word: "source: the source's settings", hidden: true},
	"Pool.Stale":        {word: "source: stale_after"},

	"User.Accept":         {word: "proxy_protocol"},
	"User.Memory":         {word: "retrieval.memory"},
	"User.Protocol":       {not: "ProtocolDigest says which one it is"},
	"User.ProtocolDigest": {word: "protocol", hidden: true},
	"User.Commands":       {not: "it is what was learned from servers"},
	"User.Callbacks":      {word: "failover.callback"},
	"Rehearsal.Sample":    {hidden: true}, // as it is on the wire
	"Callback.Rule":       {not: "Digest says which one it is"},
	"Callback.Digest":     {word: "block", hidden: true},
	"Callback.Exec":       {hidden: true}, // the arguments of programs may be passwords

	"Element.Memory":         {word: "retrieval.memory"},
	"Element.MaxSessions":    {word: "max_sessions"},
	"Element.UDPPort":        {word: "udp_port"},
	"Element.PPID":           {word: "ppid"},
	"Element.Native":         {word: "peer", values: peerWords},
	"Element.Protocol":       {not: "ProtocolDigest says which one it is"},
	"Element.ProtocolDigest": {word: "protocol", hidden: true},
	"Element.Health":         {word: "health_check"},
	"Element.Card":           {word: "business_card"},
	"Element.CookieKey":      {word: "cookie_key_file", hidden: true},
	"Element.FenceExec":      {hidden: true},

	"HealthCheck.Send": {hidden: true}, // AUTH and a password
	"HealthCheck.Exec": {hidden: true},

	"Pool.TLS":          {word: "tls"},
	"Pool.ServerTLS":    {word: "server_tls"},
	"User.TLS":          {word: "tls"},
	"Element.TLS":       {word: "tls"},
	"Element.ServerTLS": {word: "server_tls"},
	"TLS.CA":            {word: "ca"},
	"TLS.Elements":      {word: "allow of elements"},
	"EndTLS.CA":         {word: "ca"},
	"EndTLS.ALPN":       {word: "alpn"},

	"Register.Handle":       {word: "pool"},
	"Register.Registry":     {not: "SourceName and SourceDigest say which one it is"},
	"Register.SourceName":   {word: "source"},
	"Register.SourceDigest": {word: "source: the source's settings", hidden: true},
	"Register.LoadFrom":     {word: "load", hidden: true},
	"Register.LoadExec":     {hidden: true},
	"Register.Every":        {word: "load_every"},
}

var peerWords = [2]string{"sidecar", "native"}

// differ collects differences.
type differ struct {
	block   string
	kind    string // what is being compared
	field   string // likewise
	changes []change
}

func (d *differ) add(c change) {
	c.block, c.kind, c.field = d.block, d.kind, d.field
	d.changes = append(d.changes, c)
}

// diffOf lists what is different between two structs of the configuration, by their fields.
func diffOf[T any](old, new T) []change {
	d := &differ{}
	d.fields(reflect.ValueOf(old), reflect.ValueOf(new))
	return d.changes
}

// fields compares two structs that are blocks.
func (d *differ) fields(a, b reflect.Value) {
	d.kind = a.Type().Name()
	for i := range a.NumField() {
		d.field = a.Type().Field(i).Name
		d.compareField("", i, a, b)
	}
	d.field = ""
}

// blocks compares the blocks of one kind by their names. more compares what the fields do not; it may be nil.
func blocks[T any](d *differ, kind string, old, new []T, name func(*T) string, more func(old, new *T)) {
	was := make(map[string]*T, len(old))
	for i := range old {
		was[name(&old[i])] = &old[i]
	}
	for i := range new {
		d.block = fmt.Sprintf("%s %q", kind, name(&new[i]))
		before := was[name(&new[i])]
		if before == nil {
			d.add(change{from: "not there", to: "new"})
			continue
		}
		delete(was, name(&new[i]))
		d.fields(reflect.ValueOf(*before), reflect.ValueOf(new[i]))
		if more != nil {
			more(before, &new[i])
		}
	}
	for i := range old {
		if was[name(&old[i])] != nil {
			d.block = fmt.Sprintf("%s %q", kind, name(&old[i]))
			d.add(change{from: "there", to: "gone"})
		}
	}
}

// compare compares two structs, field by field; path is where they stand.
func (d *differ) compare(path string, a, b reflect.Value) {
	for i := range a.NumField() {
		d.compareField(path, i, a, b)
	}
}

// compareField compares one field of two structs.
func (d *differ) compareField(path string, i int, a, b reflect.Value) {
	field := a.Type().Field(i)
	s := settings[a.Type().Name()+"."+field.Name]
	if !field.IsExported() || s.not != "" {
		return
	}
	word := s.word
	if word == "" {
		word = snake(field.Name)
	}
	if path != "" {
		word = path + "." + word
	}
	d.value(word, s, a.Field(i), b.Field(i))
}

// value compares two values of one setting.
func (d *differ) value(word string, s setting, a, b reflect.Value) {
	switch a.Interface().(type) {
	case netip.AddrPort, netip.Addr, netip.Prefix, *regexp.Regexp: // structs that are one value
		d.leaf(word, s, a, b)
		return
	}
	switch kind := a.Kind(); {
	case kind == reflect.Struct:
		d.compare(word, a, b)
	case kind == reflect.Pointer && !a.IsNil() && !b.IsNil():
		d.value(word, s, a.Elem(), b.Elem())
	case kind == reflect.Slice && a.Type().Elem().Kind() == reflect.Struct && a.Len() == b.Len() && !one(a.Type().Elem()):
		for i := range a.Len() {
			d.value(fmt.Sprintf("%s %d", word, i+1), s, a.Index(i), b.Index(i))
		}
	default:
		d.leaf(word, s, a, b)
	}
}

// one reports whether a struct is one value.
func one(t reflect.Type) bool {
	return t == reflect.TypeFor[netip.AddrPort]() || t == reflect.TypeFor[netip.Addr]() || t == reflect.TypeFor[netip.Prefix]()
}

func (d *differ) leaf(word string, s setting, a, b reflect.Value) {
	if same(a, b) {
		return
	}
	c := change{what: word, restart: s.once}
	if !s.hidden {
		c.from, c.to = s.text(a), s.text(b)
	}
	d.add(c)
}

// same compares what has no parts of its own. Of what cannot be compared only nothing is the same: to be told of a change that is none
// does less harm than to run with another configuration than the one that is shown.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Func, reflect.Interface, reflect.Chan, reflect.UnsafePointer:
		return a.IsNil() && b.IsNil()
	case reflect.Slice, reflect.Map:
		if a.Len() == 0 && b.Len() == 0 {
			return true
		}
	}
	if x, is := a.Interface().(*regexp.Regexp); is {
		y := b.Interface().(*regexp.Regexp)
		return x == y || x != nil && y != nil && x.String() == y.String()
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// mostText bounds the text of one value, in bytes.
const mostText = 100

// text is a value for people.
func (s setting) text(v reflect.Value) string {
	var text string
	switch x := v.Interface().(type) {
	case bool:
		text = fmt.Sprint(x)
		if s.values[0] != "" && x {
			text = s.values[1]
		} else if s.values[0] != "" {
			text = s.values[0]
		}
	case netip.AddrPort:
		if text = "none"; x.IsValid() {
			text = x.String()
		}
	case string, []byte:
		text = fmt.Sprintf("%q", x)
	case *regexp.Regexp:
		if text = "none"; x != nil {
			text = fmt.Sprintf("%q", x)
		}
	default:
		text = s.other(v)
	}
	if len(text) > mostText {
		text = text[:mostText] + "..."
	}
	return text
}

// other is the text of what has no form of its own.
func (s setting) other(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		return "none"
	case v.Kind() == reflect.Pointer:
		return "given"
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct && !one(v.Type().Elem()):
		return fmt.Sprint(v.Len())
	}
	return fmt.Sprintf("%v", v.Interface())
}

// snake is a field's name as settings are written: ReplyTimeout is reply_timeout.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// elements compares the elements of a static pool. For one that has a source it finds nothing, or what stands beside another change.
func (d *differ) elements(old, new *Pool) {
	p := &poolChange{handle: new.Handle, elements: new.Elements}
	was := make(map[string]*pool.Element, len(old.Elements))
	for i := range old.Elements {
		was[old.Elements[i].Name] = &old.Elements[i]
	}
	for _, e := range new.Elements {
		before := was[e.Name]
		delete(was, e.Name)
		switch {
		case before == nil:
			p.Added = append(p.Added, e.Name)
		case before.Elsewhere(e):
			p.Moved = append(p.Moved, e.Name)
		case !reflect.DeepEqual(*before, e):
			p.Valued = append(p.Valued, e.Name)
		}
	}
	for _, e := range old.Elements {
		if was[e.Name] != nil {
			p.Gone = append(p.Gone, e.Name)
		}
	}
	if !p.None() || len(p.Valued) > 0 {
		d.field = "Elements"
		d.add(change{what: "element", from: fmt.Sprint(len(old.Elements)), to: fmt.Sprint(len(new.Elements)), pool: p})
	}
}
