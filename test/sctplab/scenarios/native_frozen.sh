# A real RSerPool element, rspserver -pingpong, is frozen while it serves rsplib's own pool user and, through our pool_user, a plain TCP
# client. Its kernel lives, and answers heartbeats. Ours goes on; rsplib's hangs.
hosts
registrar
rspservers -pingpong
$R pingpongclient -interval=200 $RSP > pu.log 2>&1 &
waitfor "3 pongs for rsplib's client" '[ $(grep -c Ack pu.log) -ge 3 ]'
case $(grep -o 'PE \$[0-9a-f]*' pu.log | tail -n 1 | cut -c5-) in
  11111111) before=1; after=2; victim=$pe1 ;;
  22222222) before=2; after=1; victim=$pe2 ;;
  *) fail "the pool user speaks to an element that nobody started" ;;
esac

cat > pp.hcl <<EOF
log { level = "debug" }
pool "pingpong" {
  policy  = "priority"
  mapping = "sctp"
  peer    = "native"
  ppid    = 33
  element "1" {
    address  = "10.1.1.2:7001"
    priority = $after
  }
  element "2" {
    address  = "10.1.1.3:7002"
    priority = $before
  }
}
pool_user "pp" {
  listen = "127.0.0.1:5000"
  pool   = "pingpong"
  protocol "length" {
    offset = 2
    width  = 2
    counts = "message"
    safe   = [{ offset = 0, bytes = "01" }]
  }
  failover { reply_timeout = "1s" }
}
EOF
proxy
talk pingpong 127.0.0.1:5000 200ms > talk.log 2>&1 & client=$!
waitfor "3 pongs for ours" '[ $(pongs) -ge 3 ]'
[ "$(serving)" = $before ] || { poolproxy status; fail "element $before does not serve our client"; }

kill -STOP $victim
say "element $before is frozen"
waitfor "element $after serves" '[ "$(serving)" = $after ]'
rsplib=$(grep -c Ack pu.log)
seen=$(pongs)
waitfor "20 more pongs for ours" '[ $(pongs) -ge $((seen + 20)) ]' 120
[ $(grep -c Ack pu.log) = $rsplib ] || fail "rsplib's client goes on, too: this scenario says nothing"
kill -TERM $client
wait $client || { tail -n 5 talk.log; tail -n 30 pp.log; fail "the client"; }
tail -n 1 talk.log
grep "failover:" pp.log
say "PASS: rsplib's client has had no reply meanwhile"
