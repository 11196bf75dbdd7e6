# rsplib among itself: its registrar, two pool elements and a pool user; the serving element is killed. That it works shows
# that the lab does.
hosts
capture rsplib
registrar
$R rspserver -pingpong -local=10.1.1.2:7001 -identifier=0x11111111 $RSP > pe1.log 2>&1 & pe1=$!
$R rspserver -pingpong -local=10.1.1.3:7002 -identifier=0x22222222 $RSP > pe2.log 2>&1 & pe2=$!
waitfor "2 elements registered" 'grep -q "Identifier  " pe1.log && grep -q "Identifier  " pe2.log'
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
