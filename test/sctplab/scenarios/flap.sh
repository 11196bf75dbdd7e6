# Both networks of the serving host come and go in turns, faster than its paths can be given up and come back; meanwhile its sidecar is
# killed. Then the one that has taken the download over is frozen while its networks flap, and the first one, which is new, has to serve.
star
mkdir /tmp/www
head -c 3000000 /dev/urandom > /tmp/www/file
echo small > /tmp/www/small
BLOCKS='retrieval { memory = "64KiB" }'
for host in a b; do webserver $host; element $host; done
user http

# flap HOST cuts its networks off in turns until /tmp/calm is there, and leaves them joined.
flap() {
  rm -f /tmp/calm
  while [ ! -e /tmp/calm ]; do
    for p in 1 2; do
      cutoff "$1" $p; sleep 0.7
      join "$1" $p; sleep 0.3
    done
  done
}
calm() { touch /tmp/calm; wait $flapping; }

download file 80k
waitfor "a part is there" 'got 300000'
first=$(serving)
case $first in a) second=b ;; b) second=a ;; *) fail "nobody serves" ;; esac
flap $first & flapping=$!
seen=$(stat -c %s /tmp/got)
waitfor "it goes on while paths flap" "got $((seen + 500000))" 120
[ "$(serving)" = $first ] || { status c; fail "a leg has ended though one path was always there"; }
eval kill -9 '$element_'$first
say "the sidecar of $first is killed"
waitfor "the session has moved to $second" '[ "$(serving)" = $second ]' 120
calm
element $first
flap $second & flapping=$!
sleep 1
eval kill -STOP '$element_'$second
say "the sidecar of $second is frozen"
waitfor "the session has moved to $first" '[ "$(serving)" = $first ]' 120
calm
downloaded
eval kill -CONT '$element_'$second
on c poolproxy status
status c > after.json
say "PASS"
