# Real RSerPool elements, rspserver -pingpong, serve a plain TCP client through our pool_user. The one that serves is killed again and
# again: while it has nothing to do, and while it has a Ping before it that it has not read. The server counts the replies; the next
# one knows where it was by the cookie alone.
hosts
capture native
registrar
rspservers -pingpong
pingpong_config
proxy
talk pingpong 127.0.0.1:5000 200ms > talk.log 2>&1 & client=$!
waitfor "3 pongs" '[ $(pongs) -ge 3 ]'

for round in 1 2 3 4; do
  before=$(serving)
  case $before in
    1) victim=$pe1; after=2 ;;
    2) victim=$pe2; after=1 ;;
    *) poolproxy status; fail "an element that nobody started serves: '$before'" ;;
  esac
  waitfor "nothing under way" settled
  how="with nothing to do"
  if [ $((round % 2)) = 0 ]; then
    how="with a ping that it has not read"
    kill -STOP $victim
    kill -CONT $client
    waitfor "a ping waits" 'tail -n 1 talk.log | grep -q sent'
  fi
  kill -9 $victim
  kill -CONT $client
  say "element $before is killed $how"
  waitfor "element $after serves" '[ "$(serving)" = $after ]'
  seen=$(pongs)
  waitfor "3 more pongs" '[ $(pongs) -ge $((seen + 3)) ]'
  rspserver_$before -pingpong
  waitfor "element $before is back" "[ \$(grep -c 'Identifier  ' pe$before.log) = 1 ]"
done
kill -TERM $client
wait $client || { tail -n 5 talk.log; tail -n 30 pp.log; fail "the client"; }
tail -n 1 talk.log
captured
grep "failover:" pp.log
[ $(grep -c "kind=moved" pp.log) = 4 ] || fail "not 4 failovers"
say "PASS"
