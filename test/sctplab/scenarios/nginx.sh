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
waitfor "the session has moved from $first" '[ -n "$(serving)" ] && [ "$(serving)" != $first ]'
second=$(serving)
got 6000000 && fail "it goes too fast to be cut"
cutoff $second 1
waitfor "the path is reported" 'status c | grep -q inactive'
on c poolproxy status -json > cut.json
on c poolproxy status
status $second > element.json
downloaded
status c > after.json
say "PASS"
