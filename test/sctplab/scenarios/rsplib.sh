# rsplib among itself: its registrar, two pool elements and a pool user; the serving element is killed. That it works shows
# that the lab does.
hosts
capture rsplib
registrar
rspservers -pingpong
$R pingpongclient -interval=200 $RSP > pu.log 2>&1 &
waitfor "3 pongs" '[ $(grep -c Ack pu.log) -ge 3 ]'
serving=$(grep -o 'PE \$[0-9a-f]*' pu.log | tail -n 1 | cut -c5-)
case $serving in
  11111111) victim=$pe1; other=22222222 ;;
  22222222) victim=$pe2; other=11111111 ;;
  *) fail "the pool user speaks to an element that nobody started: $serving" ;;
esac
kill -9 $victim
waitfor "failover from $serving to $other" "grep -q 'PE \$$other' pu.log"
waitfor "3 more pongs" "[ \$(grep -c 'PE \$$other' pu.log) -ge 3 ]"
grep -q gap pu.log && fail "the reply counter has a gap: the state cookie was lost"
captured
say "PASS"
