# Three rspregistrars; the home registrar of our element falls silent, and is killed: another takes over.
hosts
echo 1 > /proc/sys/net/ipv4/conf/dummy0/promote_secondaries
for i in 5 6; do ip addr add "10.1.1.$i/24" dev dummy0; done
ip route add 239.0.0.0/8 dev dummy0
capture takeover
for i in 1 2 3; do
  $R rspregistrar -identifier=0x0a0a0a0$i -asap=10.1.1.$i:3863 -asapannounce=off -enrp=10.1.1.$i:9901 -enrpannounce=239.0.0.51:9901 \
    -logcolor=off > registrar$i.log 2>&1 &
  eval "registrar$i=$!"
done
for i in 1 2 3; do waitfor "registrar $i up" "grep -q 'Max Endpoint Unreachable' registrar$i.log"; done
sleep 8
all=10.1.1.1:3863,10.1.1.2:3863,10.1.1.3:3863
hsdump 10.1.1.1 > hsdump.log 2>&1
handlespace follow $all EchoPool > follow.log 2>&1 &
handlespace register $all 10.1.1.4:0 EchoPool ours 10.1.1.4:7001 > ours.log 2>&1 & ours=$!
waitfor "registered" 'grep -q ^registered ours.log'
waitfor "resolved" 'grep -q "^1 elements.*10.1.1.4:7001" follow.log'
home=$(grep -o '10.1.1.4 <-> [*]10.1.1.[123]' /proc/net/sctp/assocs | head -n 1 | tail -c 2)
say "home is $home"
ip addr del 10.1.1.$home/24 dev dummy0
eval "kill -9 \$registrar$home"
sleep 25
cat follow.log ours.log; cat /proc/net/sctp/assocs
captured
captured
say "PASS"
