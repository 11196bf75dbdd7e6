# A plain TCP client's only elements, rspserver -pingpong, are both killed while it waits for a reply, and one comes back; then that one
# is killed and comes back on its port while the client has nothing to say. The numbers of the replies, which live in the cookie, go on.
hosts
capture native
registrar
rspservers -pingpong
pingpong_config
proxy
talk pingpong 127.0.0.1:5000 3s > talk.log 2>&1 & client=$!
waitfor "2 pongs" '[ $(pongs) -ge 2 ]'

poolproxy status -json > status.json
waitfor "nothing under way" settled
kill -STOP $pe1 $pe2
kill -CONT $client
waitfor "a ping waits" 'tail -n 1 talk.log | grep -q sent'
kill -9 $pe1 $pe2
say "both elements are killed"
sleep 5
rspserver_2 -pingpong
seen=$(pongs)
waitfor "2 more pongs from the one that has come back" '[ $(pongs) -ge $((seen + 2)) ]' 120
[ "$(serving)" = 2 ] || { poolproxy status; fail "element 2 does not serve"; }

for round in 1 2; do
  waitfor "nothing under way" settled
  kill -9 $pe2; wait $pe2
  kill -CONT $client
  rspserver_2 -pingpong
  say "the element is killed and begun again, the client idle"
  seen=$(pongs)
  waitfor "2 more pongs" '[ $(pongs) -ge $((seen + 2)) ]' 120
done
kill -TERM $client
wait $client || { tail -n 5 talk.log; tail -n 30 pp.log; fail "the client"; }
tail -n 1 talk.log
captured
grep "failover:" pp.log
say "PASS"
