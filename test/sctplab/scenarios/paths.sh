# Multihoming and netem: two hosts a and b, joined by two paths. One path is cut and healed, under an association that goes on;
# then both are, and the association is found dead. /bin/probe is test/sctplab/probe.
pair
capture paths
on b probe serve 10.2.1.2:5000,10.2.2.2:5000 > serve.log 2>&1 &
waitfor "listening" 'grep -q listening serve.log'
on a probe dial 10.2.1.1:0,10.2.2.1:0 10.2.1.2:5000,10.2.2.2:5000 > dial.log 2>&1 &
waitfor "10 echoes" 'grep -q "echo 10 after" dial.log'
grep -q 'peer addresses \[10.2.1.2:5000 10.2.2.2:5000\]' dial.log || fail "bindx and connectx did not carry both addresses"

echoes() { grep -c "echo" dial.log; }
cutpath 1
waitfor "path 1 is reported dead" 'grep -q "PEER_ADDR_CHANGE 10.2.1.2 UNREACHABLE" dial.log'
seen=$(echoes)
waitfor "10 more echoes over path 2" '[ $(echoes) -ge $((seen + 10)) ]'
healpath 1
waitfor "path 1 is reported alive" 'grep -q "PEER_ADDR_CHANGE 10.2.1.2 AVAILABLE" dial.log'
cutpath 2
waitfor "path 2 is reported dead" 'grep -q "PEER_ADDR_CHANGE 10.2.2.2 UNREACHABLE" dial.log'
seen=$(echoes)
waitfor "10 more echoes over path 1" '[ $(echoes) -ge $((seen + 10)) ]'
grep -q COMM_LOST dial.log serve.log && fail "the association did not survive one path"
cutpath 1
waitfor "the association is lost with its last path" 'grep -q COMM_LOST dial.log'
captured
say "PASS"
