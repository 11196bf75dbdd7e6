package config

import (
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// mistakes is one configuration for every kind of mistake. Each must give exactly one diagnostic, with all of the texts in its
// summary, detail and offending text (which stands behind "at: ").
var mistakes = []struct {
	name, text string
	has        []string
}{
	{"unknown block", minimal + `pool_usr "x" {}`, []string{`has no "pool_usr"`, `Did you mean "pool_user"?`, "at: pool_usr"}},
	{"unknown attribute", minimal + `log { colour = "red" }`, []string{`A log block has no "colour"`, "format, level", "at: colour"}},
	{"near attribute", minimal + `log { levle = "info" }`, []string{`Did you mean "level"?`}},
	{"attribute as a block", minimal + `grace { }`, []string{"wrong form", "grace = ..."}},
	{"block as an attribute", minimal + `log = "info"`, []string{"wrong form", "log { ... }"}},
	{"block twice", minimal + "log {}\nlog {}", []string{`"log" is there twice`, "a.hcl:14:1"}},
	{"number for a string", minimal + `log { level = 5 }`, []string{`"level" must be a string`, "at: 5"}},
	{"variable", minimal + `log { level = var.x }`, []string{"not a plain value", "at: var.x"}},
	{"null", minimal + `log { level = null }`, []string{"must be a string"}},
	{"word", minimal + `log { format = "jsn" }`, []string{`"format" cannot be "jsn"`, `Did you mean "json"?`}},

	{"bare duration", minimal + `grace = 30`, []string{"must be a string", `"1s"`, "at: 30"}},
	{"duration without unit", minimal + `grace = "30"`, []string{"not a duration", `"1s"`}},
	{"negative duration", minimal + `grace = "-1s"`, []string{"from 0s to 24h."}},
	{"bare size", minimal + `limits { memory = 5000000 }`, []string{"must be a string", `"1MiB"`}},
	{"size without unit", minimal + `limits { memory = "5000000" }`, []string{"not a size", `"1MiB"`}},
	{"enormous size", minimal + `limits { memory = "99999999999999999999GiB" }`, []string{"not a size"}},
	{"no shards", minimal + `limits { shards = 0 }`, []string{`"shards" is out of range`, "from 1 to 64"}},
	{"small limit", minimal + `limits { memory = "1KiB" }`, []string{"from 1MiB to 1024GiB"}},
	{"sessions", minimal + `limits { sessions = 0 }`, []string{"from 1 to 1000000"}},
	{"fraction", minimal + `limits { sessions = 1.5 }`, []string{`"sessions" must be a whole number`, "from 1 to 1000000"}},
	{"fraction of a shard", minimal + `limits { shards = 2.5 }`, []string{`"shards" must be a whole number`, "from 1 to 64", "at: 2.5"}},
	{"fraction in a list", user(`protocol "length" { safe = [{ offset = 0.5, bytes = "00" }] }`, ""), []string{`"offset" must be a whole number`}},
	{"huge number", minimal + `limits { sessions = 1e400 }`, []string{`"sessions" is out of range`, "whole number"}},
	{"admin beyond loopback", minimal + `admin { listen = "10.0.0.1:7878" }`, []string{"beyond loopback", `"off"`}},
	{"admin token, relative", minimal + `admin { token_file = "x" }`, []string{`"x" is not the full path of a file`, "openssl rand"}},
	{"later at the top", minimal + `peer {}`, []string{`"peer" is not available in this version`}},
	{"chaos at the top", minimal + `chaos = true`, []string{`"chaos" belongs to a pool or a pool_element, not to the configuration`}},
	{"chaos of a pool_user", user(`protocol "stream" {}`, `chaos = true`), []string{`"chaos" belongs to its pool, not to a pool_user`}},
	{"chaos of a failover", user(`protocol "stream" {}`, `failover { chaos = true }`), []string{`"chaos" belongs to a pool or a pool_element, not to a failover block`}},
	{"chaos that is no bool", minimal + poolBlockText(`"p"`, `chaos = "yes"
element "a" { address = "10.0.0.1:1" }`), []string{`"chaos" must be true or false`}},
	{"nothing to run", `log {}`, []string{"neither a pool_user nor a pool_element"}},
	{"syntax", "grace =\n", []string{"Invalid expression"}},

	{"pool without elements", minimal + `pool "empty" {}
admin { listen = "off" }`, []string{`Pool "empty" has no elements`, `element "a"`}},
	{"pools that nobody can ask for", poolBlockText(`"p"`, `element "a" { address = "10.0.0.1:1" }`) + `
admin { listen = "off" }`, []string{"There is nothing to run", "admin API"}},
	{"pool without name", minimal + `pool { 
  element "a" { address = "10.0.0.1:1" } 
}`, []string{"1 name behind it, not 0", `pool "name" { ... }`}},
	{"empty name", minimal + poolBlockText(`""`, `element "a" { address = "10.0.0.1:1" }`), []string{"A name is empty"}},
	{"two pools", minimal + poolBlockText(`"web"`, `element "a" { address = "10.0.0.1:1" }`), []string{`two pools "web"`, "a.hcl:2:1"}},
	{"two elements", minimal + poolBlockText(`"p"`, `element "a" { address = "10.0.0.1:1" }
element "a" { address = "10.0.0.1:2" }`), []string{`two elements "a"`}},
	{"one address twice", minimal + poolBlockText(`"p"`, `element "a" { address = "10.0.0.1:1" }
element "b" { address = "10.0.0.1:1" }`), []string{"have the address 10.0.0.1:1"}},
	{"element without address", minimal + poolBlockText(`"p"`, `element "a" {}`), []string{`"address" is missing`, "address = ..."}},
	{"policy", minimal + poolBlockText(`"p"`, `policy = "least_use"
element "a" { address = "10.0.0.1:1" }`), []string{`"policy" cannot be "least_use"`, `Did you mean "least_used"?`, `at: "least_use"`}},
	{"policy of the application", minimal + poolBlockText(`"p"`, `policy = "application"
element "a" { address = "10.0.0.1:1" }`), []string{`"policy" cannot be "application"`, `"round_robin", "weighted_round_robin", "random"`}},
	{"least_used without a load", values("least_used", ""), []string{`Element "a" has no load: policy least_used needs it`, `Write load = "50%" in it`, `at: element "a"`}},
	{"randomized_least_used without a load", values("randomized_least_used", ""), []string{`Element "a" has no load`}},
	{"least_used_degradation without one", values("least_used_degradation", `load = "1%"`), []string{`Element "a" has no degradation`, `degradation = "1%"`}},
	{"priority_least_used without a load", values("priority_least_used", `degradation = "1%"`), []string{`Element "a" has no load`}},
	{"weight under random", values("random", `weight = 3`), []string{`"weight" has no effect under policy random`,
		`policy = "weighted_round_robin" or policy = "weighted_random" or policy = "priority" in the pool`, "at: 3"}},
	{"weight 0 under round_robin", values("round_robin", `weight = 0`), []string{`"weight" has no effect under policy round_robin`}},
	{"load under priority", values("priority", `load = "3%"`), []string{`"load" has no effect under policy priority`, `at: "3%"`}},
	{"degradation under least_used", values("least_used", "load = \"3%\"\ndegradation = \"1%\""), []string{`"degradation" has no effect under policy least_used`,
		`policy = "least_used_degradation" or policy = "priority_least_used"`}},
	{"no weight at all", values("weighted_random", `weight = 0`), []string{`All elements of pool "p" have weight 0`, `at: pool "p"`}},
	{"negative weight", values("weighted_random", `weight = -1`), []string{`"weight" is out of range`, "from 0 to 2147483647"}},
	{"load as a number", values("least_used", `load = 0.5`), []string{`"load" must be a string`, `"12.5%"`}},
	{"load without a sign", values("least_used", `load = "50"`), []string{`"load" is not a share`, `"12.5%"`, `at: "50"`}},
	{"load of words", values("least_used", `load = "NaN%"`), []string{`"load" is not a share`}},
	{"negative load", values("least_used", `load = "-1%"`), []string{`"load" is not a share`}},
	{"more than full", values("least_used", `load = "100.1%"`), []string{`"load" is out of range`, "from 0% to 100%"}},
	{"mapping", minimal + poolBlockText(`"p"`, `mapping = "quic"
element "a" { address = "10.0.0.1:1" }`), []string{`"mapping" cannot be "quic"`, `Write one of: "tcp", "sctp", "none".`}},
	{"pool source", minimal + poolBlockText(`"p"`, `source = "dns.k8s"
element "a" { address = "10.0.0.1:1" }`) + dnsSource("k8s", ""), []string{"has elements and a source", `at: "dns.k8s"`}},
	{"source of no kind", minimal + `source "nds" "prod" {}`, []string{`no source of the kind "nds"`, `"dns"`}},
	{"source without a name", minimal + `source "dns" { name = "x" }`, []string{`source "dns" "name" { ... }`}},
	{"source without records", poolOf("dns.a") + `source "dns" "a" {}`, []string{`"name" is missing`}},
	{"unknown source", poolOf("dns.k9s") + poolBlockText(`"q"`, `source = "dns.k8s"`) + dnsSource("k8s", ""), []string{`There is no source "dns.k9s"`, `Did you mean "dns.k8s"?`}},
	{"two sources", poolOf("dns.a") + dnsSource("a", "") + dnsSource("a", ""), []string{`two sources "dns.a"`}},
	{"source with a bad name", poolOf("dns.a") + `source "dns" "a" { name = "{handle}.x" }`, []string{"is no name in DNS", "{pool}"}},
	{"pool with no name in DNS", minimal + poolBlockText(`"a..b"`, `source = "dns.a"`) + dnsSource("a", ""), []string{`Pool "a..b" cannot be found in DNS`}},
	{"bounds of a TTL", poolOf("dns.a") + dnsSource("a", `min_ttl = "2m"`), []string{"min_ttl (2m) is longer than max_ttl (1m)"}},
	{"a TTL longer than the alarm", poolOf("dns.a") + dnsSource("a", `stale_after = "1m"`), []string{"stale_after (1m) must be longer"}},
	{"no servers", poolOf("dns.a") + dnsSource("a", "servers = []"), []string{"has 0 entries", "1 to 8"}},
	{"server without port", poolOf("dns.a") + dnsSource("a", `servers = ["10.0.0.1"]`), []string{"is not an address", "10.96.0.10:53"}},
	{"asap without registrars", poolOf("asap.a") + `source "asap" "a" {}`, []string{`"registrars" is missing`}},
	{"no registrars", poolOf("asap.a") + asapSource("[]", ""), []string{"has 0 entries", "1 to 16", "10.0.0.1:3863"}},
	{"registrar without port", poolOf("asap.a") + asapSource(`["10.0.0.1"]`, ""), []string{"is not an address", "10.0.0.1:3863"}},
	{"registrar anywhere", poolOf("asap.a") + asapSource(`["0.0.0.0:3863"]`, ""), []string{"No registrar is at 0.0.0.0:3863"}},
	{"registrar twice", poolOf("asap.a") + asapSource(`["10.0.0.1:3863", "10.0.0.1:3863"]`, ""), []string{"10.0.0.1:3863 is there twice"}},
	{"dialect", poolOf("asap.a") + asapSource(`["10.0.0.1:3863"]`, `dialect = "rfc5352"`), []string{`"dialect" cannot be "rfc5352"`, `"rsplib", "rfc"`}},
	{"lease with fractions", poolOf("asap.a") + asapSource(`["10.0.0.1:3863"]`, "dialect = \"rfc\"\nlease = \"1500ms\""), []string{`"lease" must be a multiple of 1s`}},
	{"short lease", poolOf("asap.a") + asapSource(`["10.0.0.1:3863"]`, `lease = "10ms"`), []string{`"lease" is out of range`}},
	{"an interval longer than the alarm", poolOf("asap.a") + asapSource(`["10.0.0.1:3863"]`, `interval = "6m"`), []string{"stale_after (5m) must be longer than interval (6m)"}},
	{"long name for ASAP", minimal + poolBlockText(`"a-name-of-more-than-thirty-two-bytes"`, `source = "asap.a"`) + asapSource(`["10.0.0.1:3863"]`, ""),
		[]string{"too long for registrars", "has 36 bytes, and may have 32"}},
	{"etcd without endpoints", poolOf("etcd.e") + `source "etcd" "e" {}`, []string{`"endpoints" is missing`}},
	{"etcd of nobody", etcdSource(`endpoints = []`), []string{`"endpoints" has 0 entries`, "1 to 16", "10.0.0.1:2379"}},
	{"etcd over TLS", etcdSource(`endpoints = ["https://10.0.0.1:2379"]`), []string{"a tls block says so", `at: "https://10.0.0.1:2379"`}},
	{"etcd with relative files", etcdSource(anEndpoint, `tls { ca = "x" }`), []string{`"x" is not the full path of a file`}},
	{"etcd with tls without authorities", etcdSource(anEndpoint, `tls {}`), []string{`"ca" is missing`}},
	{"etcd by a URL", etcdSource(`endpoints = ["http://10.0.0.1:2379"]`), []string{"no member's address", "is not host:port", `["10.0.0.1:2379"`}},
	{"etcd without a port", etcdSource(`endpoints = ["10.0.0.1"]`), []string{"is not host:port"}},
	{"etcd at a bad port", etcdSource(`endpoints = ["10.0.0.1:70000"]`), []string{"no port from 1 to 65535"}},
	{"etcd, one member twice", etcdSource(`endpoints = ["10.0.0.1:2379", "10.0.0.1:2379"]`), []string{"10.0.0.1:2379 twice"}},
	{"etcd with a relative prefix", etcdSource(anEndpoint, `prefix = "poolproxy"`), []string{"begins with a slash", `at: "poolproxy"`}},
	{"etcd with a short lease", etcdSource(anEndpoint, `lease = "1s"`), []string{"from 3s to 1h."}},
	{"etcd with a broken lease", etcdSource(anEndpoint, `lease = "5500ms"`), []string{"whole seconds", `at: "5500ms"`}},
	{"etcd with a long timeout", etcdSource(anEndpoint, `timeout = "5s"`), []string{"lease (10s) must be longer than twice timeout (5s)", `at: "5s"`}},
	{"etcd with a lease for no timeout", etcdSource(anEndpoint, `lease = "4s"`), []string{"lease (4s) must be longer than twice timeout (2s)", `at: "4s"`}},
	{"etcd with an early alarm", etcdSource(anEndpoint, `stale_after = "9s"`), []string{"stale_after (9s) must be longer than 9s"}},
	{"etcd with a user only", etcdSource(anEndpoint, `username = "u"`), []string{`"username" needs "password_file"`, `at: "u"`}},
	{"etcd with a relative file", etcdSource(anEndpoint, `username = "u"`, `password_file = "p"`), []string{`"p" is not the full path`}},
	{"etcd with no such file", etcdSource(anEndpoint, `username = "u"`, `password_file = "/nowhere/p"`), []string{"cannot be used", "no such file"}},
	{"etcd with a password", etcdSource(anEndpoint, `password = "p"`), []string{`has no "password"`, `password_file`}},
	{"dns without address", minimal + `dns {}`, []string{`"listen" is missing`}},
	{"dns where others are", minimal + `dns { listen = "127.0.0.1:8080" }`, []string{"The DNS answerer cannot listen"}},
	{"dns with a broken ttl", minimal + "dns {\nlisten = \"127.0.0.1:53\"\nttl = \"1500ms\"\n}", []string{"whole seconds"}},
	{"priority under round_robin", minimal + poolBlockText(`"p"`, "element \"a\" {\naddress = \"10.0.0.1:1\"\npriority = 1\n}"),
		[]string{"no effect under policy round_robin", "at: 1"}},
	{"negative priority", minimal + poolBlockText(`"p"`, "element \"a\" {\naddress = \"10.0.0.1:1\"\npriority = -1\n}"),
		[]string{`"priority" is out of range`}},

	{"address without port", withAddress("10.0.0.1"), []string{"not an address", `"host:port"`}},
	{"address with a bad port", withAddress("10.0.0.1:70000"), []string{"no valid port", "65535"}},
	{"address with port 0", withAddress("10.0.0.1:0"), []string{"no valid port"}},
	{"address without host", withAddress(":7001"), []string{"no host"}},
	{"host that does not exist", withAddress("nowhere.test:1"), []string{`"nowhere.test" cannot be resolved`, "no such host"}},

	{"no protocol", user("", ""), []string{`"protocol" is missing`}},
	{"protocol without a name", user("protocol {}", ""), []string{"has no name"}},
	{"protocol of later", user(`protocol "smtp" {}`, ""), []string{`protocol "smtp" is not available in this version yet`}},
	{"unknown protocol", user(`protocol "htp" {}`, ""), []string{`There is no protocol "htp"`, `Did you mean "http"?`}},
	{"stream has no settings", user(`protocol "stream" { safe = [] }`, ""), []string{"Protocol stream has no settings"}},
	{"regex", user(`protocol "line" { safe = ["^GET", "a(b"] }`, ""), []string{"missing closing )", "at: a(b"}},
	{"regex with a place", user(`protocol "line" { quit = ["abc[z-a]"] }`, ""), []string{"character 5", "at: z-a"}},
	{"list", user(`protocol "line" { safe = "^GET" }`, ""), []string{`"safe" must be a list`}},
	{"until without reply", user(`protocol "line" { until = "^OK" }`, ""), []string{`without reply = "until"`}},
	{"reply without until", user(`protocol "line" { reply = "until" }`, ""), []string{`needs "until"`}},
	{"one_way for nothing", user("protocol \"line\" {\nreply = \"none\"\none_way = [\"x\"]\n}", ""), []string{`"one_way" has no effect`}},
	{"delimiter", user(`protocol "line" { delimiter = "" }`, ""), []string{`"delimiter" has 0 bytes`}},
	{"width", user(`protocol "length" { width = 9 }`, ""), []string{`"width" is out of range`}},
	{"header that ends too early", user(`protocol "length" { header = 2 }`, ""), []string{"do not go together", "header"}},
	{"redis command", user(`protocol "redis" { safe = ["get", "a b c"] }`, ""), []string{`"a b c" cannot be the name of a command`, `at: "a b c"`}},
	{"redis commands", user(`protocol "redis" { safe = "get" }`, ""), []string{`"safe" must be a list`}},
	{"redis command that is none", user(`protocol "redis" { safe = [5] }`, ""), []string{`must be a string`}},
	{"pattern", user(`protocol "length" { safe = [{ offset = 0, bytes = "0g" }] }`, ""), []string{"not hexadecimal", `at: "0g"`}},
	{"pattern without bytes", user(`protocol "length" { safe = [{ offset = 0 }] }`, ""), []string{"no bytes"}},
	{"pattern with more", user(`protocol "length" { safe = [{ bytes = "00", mask = 1 }] }`, ""), []string{`no "mask"`}},
	{"pattern that is none", user(`protocol "length" { safe = ["0a"] }`, ""), []string{"not a pattern"}},
	{"max_head", user(`protocol "http" { max_head = "1MiB" }`, ""), []string{"from 1KiB to 64KiB"}},

	{"fast heartbeats", user(`protocol "http" {}`, `heartbeat { interval = "9ms" }`), []string{"from 10ms to 1h."}},
	{"no misses", user(`protocol "http" {}`, `heartbeat { misses = 0 }`), []string{`"misses" is out of range`}},
	{"little memory", user(`protocol "http" {}`, `retrieval { memory = "63KiB" }`), []string{"from 64KiB to 1GiB"}},
	{"more than all", user(`protocol "http" {}`, `retrieval { memory = "8MiB" }`) + `limits { memory = "4MiB" }`,
		[]string{"One session may retain 8MiB, all together only 4MiB"}},
	{"ack reply of a stream", user(`protocol "stream" {}`, `failover { ack = "reply" }`), []string{"impossible with this protocol stream"}},
	{"ack reply without replies", user(`protocol "line" { reply = "none" }`, `failover { ack = "reply" }`), []string{"impossible"}},
	{"unsafe replay, no replay", user(`protocol "http" {}`, "failover {\nreplay = \"none\"\nunsafe = \"replay\"\n}"),
		[]string{"contradicts"}},
	{"unsafe replay of a stream", user(`protocol "stream" {}`, `failover { unsafe = "replay" }`), []string{"contradicts"}},
	{"resume past deadline", user(`protocol "http" {}`, "failover {\nresume = \"10s\"\ndeadline = \"9s\"\n}"),
		[]string{"resume (10s) is longer than deadline (9s)"}},
	{"resume without mapping", strings.Replace(user(`protocol "http" {}`, `failover { resume = "1s" }`), "\n", "\nmapping = \"none\"\n", 1),
		[]string{`"resume" is impossible without a mapping`}},
	{"heartbeat without mapping", strings.Replace(user(`protocol "http" {}`, `heartbeat {}`), "\n", "\nmapping = \"none\"\n", 1),
		[]string{`"heartbeat" is impossible without a mapping`}},
	{"associations without mapping", strings.Replace(user(`protocol "http" {}`, `associations = 2`), "\n", "\nmapping = \"none\"\n", 1),
		[]string{`"associations" is impossible without a mapping`}},
	{"too many associations", user(`protocol "http" {}`, `associations = 17`), []string{`"associations" is out of range`, "from 1 to 16"}},
	{"dangling pool", strings.Replace(user(`protocol "http" {}`, ""), `= "p"`, `= "orders"`, 1),
		[]string{`no pool "orders"`, `The pools are: "p"`}},
	{"no pools", strings.Replace(user(`protocol "http" {}`, ""), "pool \"p\" {\n  element \"a\" { address = \"10.0.0.1:1\" }\n}", "", 1),
		[]string{"no pools at all"}},
	{"two users", user(`protocol "http" {}`, "") + `pool_user "u" {
  listen = "127.0.0.1:5001"
  pool   = "p"
  protocol "http" {}
}`, []string{`two pool_users "u"`}},

	{"two pool_elements", minimal + element("a", "127.0.0.1:9002", ""), []string{`two pool_elements "a"`}},
	{"duplicate listener", minimal + element("b", "127.0.0.1:8080", ""),
		[]string{`"b" cannot listen on 127.0.0.1:8080`, `"web" listens there, too`, "a.hcl:6:12"}},
	{"listener of the default admin", minimal + element("b", "127.0.0.1:7878", ""), []string{"admin API (by default) listens there"}},
	{"mapping none of a pool_element", minimal + element("b", "127.0.0.1:9002", `mapping = "none"`),
		[]string{"cannot have mapping", "leave the pool_element out"}},
	{"business_card without an order", minimal + element("b", "127.0.0.1:9002", "business_card {\npool = \"web\"\n}"), []string{`"order" is missing`}},
	{"business_card without a pool", card(``, `order = ["10.0.0.2:1"]`), []string{`"pool" is missing`}},
	{"business_card of nobody", card(`pool = "web"`, `order = []`), []string{`"order" has 0 entries`, "The preferred first"}},
	{"business_card of a host", card(`pool = "web"`, `order = ["10.0.0.2"]`), []string{`"order" is not an address`, "10.0.0.2:7001"}},
	{"business_card, twice the same", card(`pool = "web"`, `order = ["10.0.0.2:1", "10.0.0.2:1"]`), []string{"has 10.0.0.2:1 twice"}},
	{"business_card of itself", card(`pool = "web"`, `order = ["10.0.0.2:1", "127.0.0.1:9002"]`), []string{`"b" names itself`, `at: "127.0.0.1:9002"`}},
	{"business_card, long", card(`pool = "web"`, `order = [`+strings.Repeat(`"10.0.0.2:1", `, 17)+`]`), []string{`"order" has 17 entries`, "1 to 16"}},
	{"health_check without anything", health(``), []string{"checks nothing", "exec ="}},
	{"health_check of a pool", strings.Replace(minimal, "{\n", "{\nhealth_check {}\n", 1),
		[]string{`"health_check" belongs to a pool_element, not to a pool`, "at: health_check"}},
	{"health_check of a pool_user", user(`protocol "http" {}`, `health_check {}`), []string{"not to a pool_user"}},
	{"health_check of an element of a pool", minimal + poolBlockText(`"p"`, "element \"a\" {\naddress = \"10.0.0.1:1\"\nhealth_check {}\n}"),
		[]string{"not to an element of a pool"}},
	{"health_check at the top", minimal + `health_check {}`, []string{"not to the configuration"}},
	{"two checks", health(`connect = "10.0.0.1:1"`, `http = "http://10.0.0.1:1/"`), []string{`"connect" does not go with "http"`}},
	{"exec and expect", health(`exec = ["/bin/true"]`, `expect = "x"`), []string{`"expect" does not go with "exec"`}},
	{"http and send", health(`http = "http://10.0.0.1:1/"`, `send = "x"`), []string{`"send" does not go with "http"`}},
	{"connect and status", health(`connect = "10.0.0.1:1"`, `status = 200`), []string{`"status" does not go with "connect"`}},
	{"send without expect", health(`send = "PING"`), []string{`"send" needs "expect"`, `expect = "^PONG"`}},
	{"connect, send without expect", health(`connect = "10.0.0.1:1"`, `send = "PING"`), []string{`"send" needs "expect"`}},
	{"status without http", health(`status = 200`), []string{`"status" needs "http"`}},
	{"expect of no expression", health(`expect = "(x"`), []string{"missing closing )"}},
	{"page over TLS", health(`http = "https://10.0.0.1/health"`), []string{"cannot ask over TLS", "exec"}},
	{"page without scheme", health(`http = "10.0.0.1:80/health"`), []string{"not the address of a page", `"http://host:port/path"`}},
	{"page by ftp", health(`http = "ftp://10.0.0.1/health"`), []string{`begins with "ftp"`}},
	{"page without host", health(`http = "http:///health"`), []string{"not the address of a page"}},
	{"page with a user", health(`http = "http://u:p@10.0.0.1/"`), []string{"has a user"}},
	{"page with a bad port", health(`http = "http://10.0.0.1:0/"`), []string{"no valid port"}},
	{"page of nobody", health(`http = "http://nowhere.test/"`), []string{`"nowhere.test" cannot be resolved`}},
	{"exec with a shell's line", health(`exec = "/bin/check now"`), []string{`"exec" must be a list`}},
	{"exec by PATH", health(`exec = ["check"]`), []string{"is not the full path", "no shell"}},
	{"exec of nothing", health(`exec = []`), []string{"names no program"}},
	{"exec of a number", health(`exec = ["/bin/check", 1]`), []string{`"exec" must be a string`, "at: 1"}},
	{"exec with a zero", health(`exec = ["/bin/check", "\u0000"]`), []string{"cannot be given to a program"}},
	{"timeout past interval", health(`exec = ["/bin/true"]`, `interval = "1s"`, `timeout = "2s"`),
		[]string{"timeout (2s) is longer than interval (1s)"}},
	{"no fall", health(`exec = ["/bin/true"]`, `fall = 0`), []string{`"fall" is out of range`}},
	{"it checks itself", health(`connect = "127.0.0.1:9002"`), []string{`"b" asks the pool_element itself`}},
	{"in circles", strings.Replace(minimal, "127.0.0.1:8081", "127.0.0.1:8080", 1), []string{"Sessions would go round in circles", `pool_element "a" is pool_user "web"`}},
	{"to itself", minimal + element("b", "127.0.0.1:8083", ""), []string{"connect to itself"}},
	{"beyond loopback", minimal + element("b", "10.0.0.1:9002", ""), []string{"can be reached from other machines"}},
}

func poolBlockText(name, body string) string { return "pool " + name + " {\n" + body + "\n}\n" }

// values is a configuration with a pool of one element, which has these lines in it.
func values(policy, lines string) string {
	return minimal + poolBlockText(`"p"`, "policy = \""+policy+"\"\nelement \"a\" {\naddress = \"10.0.0.1:1\"\n"+lines+"\n}")
}

func withAddress(address string) string {
	return minimal + poolBlockText(`"p"`, `element "x" { address = "`+address+`" }`)
}

func element(name, listen, more string) string {
	return `pool_element "` + name + `" {
  listen = "` + listen + `"
  server = "127.0.0.1:8083"
  ` + more + `
}
`
}

// card is a configuration with these lines in a business_card.
func card(lines ...string) string {
	return minimal + element("b", "127.0.0.1:9002", "business_card {\n"+strings.Join(lines, "\n")+"\n}")
}

// health is a configuration with these lines in a health_check.
func health(lines ...string) string {
	return minimal + element("b", "127.0.0.1:9002", "health_check {\n"+strings.Join(lines, "\n")+"\n}")
}

func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) { checkMistake(t, m.text, m.has, m.name != "beyond loopback") })
	}
}

// Servers can be named without sidecars, and pools can be filled by registrations; but that may not be what was meant.
func TestPoolsAlone(t *testing.T) {
	checkMistake(t, poolBlockText(`"p"`, `element "a" { address = "10.0.0.1:1" }`), []string{"There are only pools", "poolproxy resolve"}, false)
	checkMistake(t, minimal+`pool "empty" {}`, []string{`Pool "empty" has no elements`, "poolproxy register", `element "a"`}, false)
}

// Shards for which limits.memory has no room are not left out in silence; those that a machine has more processors than room for are.
func TestShardsWithoutRoom(t *testing.T) {
	checkMistake(t, minimal+"limits {\nshards = 8\nmemory = \"5MiB\"\n}", []string{
		"limits.shards is 8, and there will be 5: limits.memory is 5MiB", "at least 8MiB, or shards 5", "at: 8"}, false)
	for _, limits := range []string{`shards = 64`, "shards = 5\nmemory = \"5MiB\"", `memory = "4MiB"`} {
		if l := loadText(t, minimal+"limits {\n"+limits+"\n}"); len(l.Diagnostics) != 0 {
			t.Errorf("%s: %v", limits, l.Diagnostics)
		}
	}
}

// checkMistake loads a text that must give one diagnostic.
func checkMistake(t *testing.T, text string, has []string, wantError bool) {
	t.Helper()
	l := loadText(t, text)
	if len(l.Diagnostics) != 1 {
		t.Fatalf("%d diagnostics: %v", len(l.Diagnostics), l.Diagnostics)
	}
	got := about(l, l.Diagnostics[0])
	for _, want := range has {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if l.Failed() != wantError {
		t.Errorf("is it an error? %t, want %t", l.Failed(), wantError)
	}
}

// about is all that a diagnostic says, and the offending text.
func about(l *Loaded, d *hcl.Diagnostic) string {
	text := d.Summary + "\n" + d.Detail
	if d.Subject != nil {
		text += "\nat: " + string(d.Subject.SliceBytes(l.files[d.Subject.Filename].Bytes))
	}
	return text
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"100B": 100, "64KiB": 64 << 10, "512KB": 512000, "1MiB": 1 << 20, "2MB": 2e6, "1GiB": 1 << 30, "3 GB": 3e9, "0B": 0,
		"": -1, "B": -1, "1": -1, "1k": -1, "1.5MiB": -1, "-1B": -1, "+1B": -1, "1MiBB": -1, "9007199254740993B": -1,
	} {
		got, ok := parseSize(text)
		if ok != (want >= 0) || (ok && got != want) {
			t.Errorf("%q: %d %t, want %d", text, got, ok, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"policy", "polcy", 1}, {"levle", "level", 2}, {"abc", "", 3}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// dnsSource is a source with these settings.
func dnsSource(name, settings string) string {
	return "\nsource \"dns\" \"" + name + "\" {\nname = \"{pool}.x\"\n" + settings + "\n}\n"
}

func asapSource(registrars, settings string) string {
	return "\nsource \"asap\" \"a\" {\nregistrars = " + registrars + "\n" + settings + "\n}\n"
}

// poolOf is a pool with this source, and its user.
func poolOf(source string) string {
	return poolBlockText(`"p"`, `source = "`+source+`"`) + "\npool_user \"p\" {\nlisten = \"127.0.0.1:8080\"\npool = \"p\"\nprotocol \"http\" {}\n}\n"
}

const anEndpoint = `endpoints = ["10.0.0.1:2379"]`

// etcdSource is a configuration with a pool whose source is an etcd cluster with these lines.
func etcdSource(lines ...string) string {
	return poolOf("etcd.e") + "\nsource \"etcd\" \"e\" {\n" + strings.Join(lines, "\n") + "\n}\n"
}
