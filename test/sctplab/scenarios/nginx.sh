# nginx and curl between SCTP sidecars on two networks: the serving nginx is killed, then a network is cut under the download.
star
mkdir /tmp/www
head -c 8388608 /dev/urandom > /tmp/www/file
echo small > /tmp/www/small
for host in a b; do webserver $host; element $host; done
user http
download file 400k
waitfor "1 MB is there" 'got 1000000'
first=$(serving)
[ -n "$first" ] || fail "nobody serves: $(status c)"
killweb $first
waitfor "the session has moved from $first" 'second=$(serving); [ -n "$second" ] && [ "$second" != $first ]'
got 6000000 && fail "it goes too fast to be cut"
cutoff $second 1
waitfor "the path is reported" 'status c | grep -q inactive'
on c poolproxy status -json > cut.json
on c poolproxy status
status $second > element.json
downloaded
join $second 1
status c > after.json

# Both networks of b are cut for longer than the heartbeats allow, under two sessions, which nothing but resumption can save: each on a
# shard of its own, whose association must find the leg on the element's side. They go over UDP.
capture udp 'udp port 9899'
[ $second = b ] || webserver b
head -c 1500000 /tmp/www/file > /tmp/www/part
for i in 1 2; do
  on c curl -sS --fail --limit-rate 100k -o /tmp/part$i http://127.0.0.1:5001/part > part$i.log 2>&1 &
done
waitfor "two parts are there" '[ "$(stat -c %s /tmp/part2 2>/dev/null || echo 0)" -ge 100000 ] && [ "$(stat -c %s /tmp/part1)" -ge 100000 ]'
cutoff b 1 2
waitfor "both associations are lost" '[ $(grep -c "poolproxy.v: association lost" user.log) -ge 2 ]'
join b 1 2
waitfor "both parts have come" '[ "$(cat /tmp/part1 /tmp/part2 | wc -c)" = 3000000 ]' 120
for i in 1 2; do cmp /tmp/part$i /tmp/www/part || fail "part $i differs"; done
status c > resumed.json

# Both sidecars are replaced under a download, and inherit the sockets on which they listen: over SCTP, at two addresses, over UDP.
on c curl -sS --fail --limit-rate 400k -o /tmp/part3 http://127.0.0.1:5001/part > part3.log 2>&1 &
waitfor "a third part is there" '[ "$(stat -c %s /tmp/part3 2>/dev/null || echo 0)" -ge 100000 ]'
for host in b c b; do
  on $host poolproxy upgrade -timeout 2m > upgrade.log 2>&1 || fail "upgrade of $host: $(cat upgrade.log)"
  say "$host: $(cat upgrade.log)"
done
waitfor "the third part has come" '[ "$(stat -c %s /tmp/part3)" = 1500000 ]' 120
cmp /tmp/part3 /tmp/www/part || fail "part 3 differs"
kill $capturing; wait $capturing # gaps do not matter here
packets=$(sed -n 's/ packets captured//p' tcpdump.udp.log)
[ "$packets" -ge 1000 ] || fail "only $packets packets over UDP"
on c sh -c 'echo 0 > /proc/sys/net/sctp/udp_port'
on c poolproxy validate -config user.hcl > validate.log 2>&1 || fail "validate: $(cat validate.log)"
grep 'pool "only".*sysctl -w net.sctp.udp_port=9899' validate.log || fail "validate says nothing of UDP: $(cat validate.log)"
on c poolproxy run -config user.hcl > run.log 2>&1 && fail "it runs without UDP"
[ "$(grep -c 'net.sctp.udp_port is 0' run.log)" = 1 ] || fail "run: $(cat run.log)"
say "PASS"
