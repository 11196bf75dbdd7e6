# rsplib's pool users are served by plain TCP servers behind our pool_element. pingpongclient moves from ours to an rspserver, and back;
# its reply numbers are the session's state, and must have no gap. Only the element that is to serve is registered. /bin/element is
# test/sctplab/element.
hosts
capture native_user
registrar
poolproxy run -config /etc/pp.hcl > pp.log 2>&1 &
waitfor "sidecar listens" '[ $(grep -c "listening for pool users" pp.log) = 2 ]'

# ours RUN starts our element: the plain server, $server, and its registration, $registered.
ours() {
  element pingpong 127.0.0.1:9000 127.0.0.1:7878 > "server$1.log" 2>&1 & server=$!
  waitfor "plain server listens" "grep -q listening server$1.log"
  element register 10.1.1.1:3863 PingPongPool 0x33333333 10.1.1.2:7001 > "register$1.log" 2>&1 & registered=$!
  waitfor "our element is registered" "grep -q ^registered register$1.log"
}

# pongs ELEMENT waits for three pongs more from it.
pongs() {
  before=$(grep -c "PE \$$1" pu.log)
  waitfor "pongs from $1" "[ \$(grep -c 'PE \$$1' pu.log) -ge $((before + 3)) ]"
}

ours 1
$R pingpongclient -interval=500 $RSP > pu.log 2>&1 &
pongs 33333333

$R rspserver -pingpong -local=10.1.1.3:7002 -identifier=0x22222222 $RSP > pe.log 2>&1 & pe=$!
waitfor "rspserver is registered" 'grep -q "Identifier  " pe.log'
kill $registered
waitfor "our element is not registered any more" 'grep -q deregistered register1.log'
kill -USR1 $server
pongs 22222222

ours 2
kill -9 $pe
pongs 33333333
grep -q gap pu.log && fail "the reply counter has a gap: the state cookie was lost"

# rspterminal says what it reads, and prints the answers. The end of its input means nothing to it, and what it reads before it has an
# element is lost.
element echo 127.0.0.1:9001 > echo.log 2>&1 &
element register 10.1.1.1:3863 EchoPool 0x44444444 10.1.1.2:7003 > register3.log 2>&1 &
waitfor "echo element is registered" 'grep -q ^registered register3.log'
mkfifo words
$R rspterminal -poolhandle=EchoPool $RSP < words > term.log 2>&1 &
exec 3<> words # not only to write: that waits for the reader, and the end of another process would interrupt it
waitfor "the echo comes back" 'echo "said by rspterminal" >&3; grep -q "said by rspterminal" term.log'
captured
say "PASS"
