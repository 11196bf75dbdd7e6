# Native peers that do not behave (/bin/rude), on either side of our sidecar: it stays small, ends only what is to blame, and serves the
# others.
hosts
cat > pp.hcl <<'EOC'
log { level = "debug" }
limits { sessions = 4 }
pool_element "echo" {
  mapping = "sctp"
  peer    = "native"
  listen  = "10.1.1.1:7001"
  server  = "127.0.0.1:9001"
  retrieval { memory = "2MiB" }
  protocol "line" { max_line = "64KiB" }
}
pool_element "silent" {
  mapping = "sctp"
  peer    = "native"
  listen  = "10.1.1.1:7002"
  server  = "127.0.0.1:9002"
  protocol "line" {}
}
pool "rude" {
  mapping = "sctp"
  policy  = "priority"
  peer    = "native"
  element "rude" {
    address  = "10.1.1.2:7001"
    priority = 2
  }
  element "ours" {
    address  = "10.1.1.1:7001"
    priority = 1
  }
}
pool_user "u" {
  listen = "127.0.0.1:5000"
  pool   = "rude"
  protocol "line" { safe = ["."] }
}
EOC
element echo 127.0.0.1:9001 > echo.log 2>&1 &
element echo 127.0.0.1:9002 > silent.log 2>&1 & silent=$!
proxy
waitfor "the elements listen" '[ $(grep -c "listening for pool users" pp.log) = 2 ]'
small() {
  rss=$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$pp/status)
  say "$1: the sidecar has $rss kB"
  [ "${rss:-999999}" -lt 120000 ] || fail "$1: it has grown"
}

rude user 10.1.1.1:7001 asap > asap.log 2>&1 || fail "rubbish for ASAP: $(tail -n 1 asap.log)"
rude user 10.1.1.1:7001 huge > huge.log 2>&1 || fail "huge lines: $(tail -n 1 huge.log)"
rude user 10.1.1.1:7001 ppid > ppid.log 2>&1
grep -q '^ended: ' ppid.log || fail "another PPID was not refused: $(cat ppid.log)"
tail -n 1 asap.log huge.log ppid.log
small "after these"

# The server takes nothing, then answers late.
kill -STOP $silent
rude user 10.1.1.1:7002 huge > late.log 2>&1 & late=$!
rude user 10.1.1.1:7001 deaf > deaf.log 2>&1 & deaf=$!
sleep 5
small "a deaf pool user and a server that takes nothing"
rude user 10.1.1.1:7001 asap > beside.log 2>&1 || fail "beside them: $(tail -n 1 beside.log)"
kill -CONT $silent
wait $late || fail "the late server: $(tail -n 1 late.log)"
kill -9 $deaf; wait $deaf

# limits.sessions
for i in 1 2 3 4; do
  rude user 10.1.1.1:7001 idle > idle$i.log 2>&1 & idle="$idle $!"
done
sleep 1
rude user 10.1.1.1:7001 asap > fifth.log 2>&1
grep -q '^ended: ' fifth.log || fail "a fifth session: $(cat fifth.log)"
kill -9 $idle; wait $idle
rude user 10.1.1.1:7001 asap > sixth.log 2>&1 || fail "when there is room again: $(tail -n 1 sixth.log)"

# Cookies without end from an element, and rubbish between; it dies, and ours, as an element, is shown the last cookie.
rude element 10.1.1.2:7001 > element.log 2>&1 & rude=$!
waitfor "the rude element listens" 'grep -q begun element.log'
talk lines 127.0.0.1:5000 100000 > lines.log 2>&1 || { tail -n 30 pp.log; fail "through the rude element: $(tail -n 1 lines.log)"; }
tail -n 1 lines.log
small "after cookies without end"
: > moved.log
seq 1 60 | while read -r i; do echo "line $i"; sleep 0.1; done | nc 127.0.0.1 5000 > moved.log & client=$!
waitfor "its answers come" '[ $(wc -l < moved.log) -ge 5 ]'
kill -9 $rude
waitfor "the client has ended" '[ ! -d /proc/$client ]' 120
[ "$(cat moved.log)" = "$(seq 1 60 | sed "s/^/line /")" ] || { tail -n 30 pp.log; fail "after the rude element's death: $(tail -n 1 moved.log)"; }
grep "the pool user has brought a cookie" pp.log | grep -q "bytes=4096" || fail "the last cookie was not echoed"
grep -c "kind=moved" pp.log
small "at the end"
grep "WARN" pp.log | grep -c "a cookie is not kept" > warned.log
[ "$(cat warned.log)" -le 2 ] || fail "$(cat warned.log) warnings of two associations"
[ "$(grep -c panic pp.log)" = 0 ] || fail "it has panicked"
say "PASS"
