// Package looptest is a world in one goroutine: hosts that implement loop.Loop, virtual time, and an in-memory network that can be
// cut, stalled, delayed and healed. All that happens follows from the seed: the same seed and the same calls give the same
// events in the same order, so a failing schedule is repeated by its seed alone.
//
//	w := looptest.NewWorld(seed)
//	user, server := w.Host("user"), w.Host("server")
//	server.Listen(server.Addr(80), accept)
//	user.Dial(server.Addr(80), handler)
//	w.RunFor(time.Second)
//
// A host is a kernel with one process in it. The kernel takes packets, acknowledges and buffers; the process runs in turns, as loop
// describes. Kill and Freeze hit the process, Vanish hits both. Connections follow Linux's TCP where it matters for failover:
// bounded buffers, acknowledgements, windows, FIN behind the bytes, RST on unread bytes. There is no congestion control, and no
// loss but that of a stalled path.
//
// Nothing here may be used from a second goroutine, not even Post.
package looptest
