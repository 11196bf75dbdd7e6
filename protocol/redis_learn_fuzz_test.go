package protocol

import "testing"

// FuzzLearn: what a server says of its own commands is bounded by what it has said, and never makes safe what the operator has not.
func FuzzLearn(f *testing.F) {
	f.Add(redisTableReply("GET", "readonly", "blpop", "blocking", "my.write", "readonly"))
	f.Add([]byte("*1\r\n*3\r\n$-1\r\n:1\r\n*1\r\n+readonly\r\n"))
	f.Add([]byte("*1000000000\r\n*7\r\n"))
	f.Add([]byte("%1\r\n+get\r\n#t\r\n"))
	f.Fuzz(func(t *testing.T, reply []byte) {
		table := NewRedisTable([]string{"my.read"})
		n, err := table.Learn("a", reply)
		if n > len(reply) || n > 0 && err != nil {
			t.Fatalf("%d commands in %d bytes, %v", n, len(reply), err)
		}
		if safe, _ := table.Safe("my.read"); !safe {
			t.Fatal("the operator's word does not count any more")
		}
		table.Forget("a")
		if _, err := new(RedisTable).Learn("b", reply); err == nil && n == 0 {
			t.Fatal("learned by one table only")
		}
	})
}
