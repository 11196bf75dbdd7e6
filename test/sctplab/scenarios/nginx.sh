# nginx and curl between SCTP sidecars on two networks: the serving nginx is killed, then a network is cut under the download.
star
mkdir /tmp/www
head -c 8388608 /dev/urandom > /tmp/www/file
echo small > /tmp/www/small
for host in a b; do webserver $host; element $host; done
user http
got() { [ "$(stat -c %s /tmp/got 2>/dev/null || echo 0)" -ge "$1" ]; }
on c curl -sS --fail --limit-rate 1M -o /tmp/got -w 'connections=%{num_connects} status=%{http_code}\n' http://127.0.0.1:5000/file > curl.log 2>&1 &
curl=$!
waitfor "1 MB downloaded" 'got 1000000'
first=$(serving)
[ -n "$first" ] || fail "nobody serves: $(status c)"
status c > before.json
killweb $first
waitfor "the session has moved from $first" '[ -n "$(serving)" ] && [ "$(serving)" != $first ]'
second=$(serving)
waitfor "3 MB downloaded" 'got 3000000'
status c > moved.json
cutoff $second 1
waitfor "a path is reported" 'status c | grep -q inactive'
on c poolproxy status -json > cut.json
on c poolproxy status > cut.txt
waitfor "the download has ended" '[ ! -d /proc/$curl ]' 40
wait $curl || fail "curl ended with $?: $(cat curl.log)"
status c > after.json
status $second > element.json
cat curl.log cut.txt
[ "$(sha256sum < /tmp/got)" = "$(sha256sum < /tmp/www/file)" ] || fail "the file differs"
say "PASS"
