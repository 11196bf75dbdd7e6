# What the project takes for granted of the kernel's SCTP, and SCTP over UDP (RFC 6951). /bin/probe is test/sctplab/probe.
hosts
probe facts > facts.log 2>&1
status=$?
cat facts.log
[ $status = 0 ] || exit $status

echo 9899 > /proc/sys/net/sctp/udp_port && echo 9899 > /proc/sys/net/sctp/encap_port || fail "no SCTP over UDP"
capture encapsulated 'udp port 9899'
probe serve 10.1.1.1:5000 > serve.log 2>&1 &
waitfor "listening" 'grep -q listening serve.log'
probe dial 10.1.1.2:0 10.1.1.1:5000 > dial.log 2>&1 &
waitfor "3 echoes" 'grep -q "echo 3 after" dial.log'
captured
packets=$(tcpdump -Z root -n -r encapsulated.pcap 2>> tcpdump.encapsulated.log | wc -l)
[ "$packets" -ge 10 ] || fail "only $packets packets over UDP"
say "PASS"
