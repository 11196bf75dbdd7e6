//go:build linux

package chaos

// What docs/reliability.md says around its figures.
const (
	pageHead = `# Reliability: what was tried, and what came of it

This page is made by ` + "`make chaos`" + ` and ` + "`make chaos-page`" + ` from [one recorded run](../test/chaos/results.json): real sidecars, real servers (redis-server for
redis), network namespaces as hosts, and clients that know every byte that they have to get. **%d plugs were pulled** in it, on %s, in %s (%.1f a
second; %s; seed %d).

| | |
| --- | --- |
| sessions | %d, of which %d were protected, %d not |
| requests; bytes of their replies, each compared | %d; %d |
| unsafe requests carried out, by the servers' journals | %d |
| lost, or protected sessions that ended | **%d** |
| replies that came twice, unsafe requests that were carried out twice | **%d** |
| bytes of another reply, out of order, or an end that looks like completion | **%d** |

`
	pageGaps = `
What is judged, by [internal/workload](../internal/workload): each reply came once, in order, whole, and every eight bytes of it are a number that stands
nowhere else in the run; an unsafe request was carried out at most once by all servers together, and was if it was answered, and was not if the
client was told so; a protected session was not ended; one that is not protected ended by the protocol's own error or a reset, never by what looks
like completion. That the same steps and judges find what is wrong is tried on pools that are made to repeat unsafe requests, and on servers that do not
reply alike ([control_test.go](../test/chaos/control_test.go)).

## How long nobody was answered

From the strike, or from the first request behind it, to the first answer, in milliseconds: p50, p99, max. **Servers hold the requests that are
struck for 400 ms**, so that a plug can be pulled in their middle; where a strike does not make anybody move (a path that is only slow, an
association that is resumed) the rest of that time is in these figures. The sidecars' heartbeats are 100 ms × 3, resume is 300 ms, fence 600 ms, reply_timeout
1.2 s; many servers and sidecars share the two processors. With replay = "session" a session whose old server may live waits besides until that one's
connection is certain to be over ([replay.md](replay.md)): those are the gaps of a second behind resets.

| failure | strikes | mapping tcp | mapping none | what it is |
| --- | --- | --- | --- | --- |
`
	pageCells = `
A strike is counted once: for one process, one association or port, or one host, also where it has met sessions of all protocols. The clocks are those of
the processes alone, and no packet leaves the machine: [host_test.go](../test/chaos/host_test.go), [exchange_test.go](../test/chaos/exchange_test.go),
[clock_test.go](../test/chaos/clock_test.go).

## All cells

How often each was struck with a session in it that was in just that state, with mapping tcp · with mapping none, and the gaps of the row. Where nothing else
stands, nothing was lost, doubled or mixed, and nobody was told anything wrong. Each strike meets up to three sessions, of which one has
something unsafe in flight. **stream** is protocol stream as it is by default: not protected, it must end as promised.

- *Reply half delivered*: the server has sent half and waits; redis, which cannot, has sent all, and its client takes only half.
- *During a failover*: the sessions' server was killed up to 15 ms before, and the failure strikes the host where they go, whose server
  holds the repeated request, too. stream has no such cell (–): its sessions end with that server.
- *During drain*: the element's drain was begun up to 15 ms before, with a request in flight. *During upgrade*: the sidecar of the host, that of the
  pool_user, or both, are being replaced.
- Not protected, besides stream, are sessions whose failure is the pool_user's death; an unsafe request of which half of the reply was delivered; and one of
  http of which half was sent, on whose head a server may have acted. They may end; the rest of what is judged holds for them too.
- With mapping none and protocol stream nobody can tell a server that is back within milliseconds from one that has closed the connection
  ([failover.md](failover.md#limits-first)): there, and where the pool_user was killed, an end of file is none against it.
- A server whose disk is full says so in place of its reply and ends the connection: its clients are told of that end as of any that a server
  chooses, and what one of them sends before he hears of it has no answer, as without a proxy.
- A redis that starts lets clients in when it has loaded its data, as with a [health check](failover.md#health-checks).
- With mapping none elements have on_server_close = "failover": a reset that somebody injects looks as the server's own.
`
	pageSCTP = `
## Mapping sctp

This kernel has no SCTP: in a machine that qemu emulates ([test/sctplab](../test/sctplab/README.md), TestCells), with two paths to each host, %d cells
were struck on %s (%s): %d sessions, %d requests, **%d findings**. Protocols line · http; stream, redis and length run over the same associations as these,
and what differs by protocol is above.

| failure | idle | request in flight | reply half delivered | request half sent | 50 pipelined | p50, p99, max | how |
| --- | --- | --- | --- | --- | --- | --- | --- |
`
	pageFoot = `
## To repeat it

    make chaos EVENTS=100000        # plays each cell, and then by chance; writes test/chaos/results.json
    make chaos-page                 # and this page
    POOLPROXY_CELL=server-kill/half-reply/http/tcp go test ./test/chaos -run TestMatrix -count=1    # one cell; parts may be empty

It needs Linux, root, /dev/net/tun, etcd, redis-server and ip. ` + "`make check`" + ` plays each cell once. What fails names its cell, says how to play it again, and keeps all logs. The
words in cells: failures ` + "`server-kill server-stop server-term server-oom sidecar-kill user-kill cut one-way reset delay-loss etcd-leader clock disk descriptors processor`" + `;
states ` + "`idle in-flight half-reply half-sent pipelined failover drain upgrade`" + `; protocols ` + "`line length http redis stream+session stream`" + `; mappings ` + "`tcp none`" + `.

An hour with a kill every two seconds is ` + "`make soak`" + `: [soak.md](soak.md).
`
)
