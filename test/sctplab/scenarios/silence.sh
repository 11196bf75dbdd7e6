# A peer that is silent, in two ways, under a download between SCTP sidecars; and the second way under rsplib's ping-pong, beside it.
star
mkdir /tmp/www
head -c 1000000 /dev/urandom > /tmp/www/file
echo small > /tmp/www/small
BLOCKS='retrieval { memory = "64KiB" }'
for host in a b; do webserver $host; element $host; done

RSP="-registrar=10.2.1.1:3863 -asapannounce=off -logcolor=off"
on c $R rspregistrar -identifier=0x0a0a0a0a -asap=10.2.1.1:3863 -asapannounce=off -enrp=10.2.1.1:9901 -enrpannounce=off \
  -logcolor=off > registrar.log 2>&1 &
waitfor "registrar up" 'grep -q "Max Endpoint Unreachable" registrar.log'
on a $R rspserver -pingpong -local=10.2.1.2:7101 -identifier=0x11111111 $RSP > pe-a.log 2>&1 &
on b $R rspserver -pingpong -local=10.2.1.3:7102 -identifier=0x22222222 $RSP > pe-b.log 2>&1 &
waitfor "2 elements registered" 'grep -q "Identifier  " pe-a.log && grep -q "Identifier  " pe-b.log'
on c $R pingpongclient -interval=200 $RSP > pu.log 2>&1 &
waitfor "3 pongs" '[ $(grep -c Ack pu.log) -ge 3 ]'
pongs() { grep -o 'PE \$[0-9a-f]*' pu.log | tail -n 1 | cut -c5-; }
case $(pongs) in
  11111111) theirs=a ours=b PRIORITY=0 ;;
  22222222) theirs=b ours=a PRIORITY=2 ;;
  *) fail "rsplib's pool user speaks to nobody" ;;
esac
user http

download file 100k
waitfor "a part is there" 'got 200000'
[ "$(serving)" = $ours ] || fail "not $ours serves, but $(serving)"
eval kill -STOP '$element_'$ours
say "the sidecar of $ours is frozen"
waitfor "the session has moved" '[ "$(serving)" = $theirs ]'
downloaded
status c > frozen.json
eval kill -CONT '$element_'$ours

# With the larger priority the element that was frozen serves the next session; the other one is made to, whom rsplib speaks to.
eval kill -9 '$element_'$ours
waitfor "the sidecar of $ours is gone" '! status $ours > /dev/null'
download file 100k
waitfor "a part is there" 'got 200000'
[ "$(serving)" = $theirs ] || fail "not $theirs serves, but $(serving)"
element $ours
was=$(pongs)
cutoff $theirs 1 2
waitfor "the session has moved" '[ "$(serving)" = $ours ]'
downloaded
status c > cut.json
waitfor "rsplib has moved" '[ "$(pongs)" != $was ]' 120
say "PASS"
