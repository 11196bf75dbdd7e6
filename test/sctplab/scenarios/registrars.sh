# Three rspregistrars, to which our pool_elements register themselves; our pool_user and rsplib's programs find them there. The home
# registrar of the elements falls silent, and another takes over; an element is killed under a session; then another registrar is killed.
#
# Each has a host of its own, a network namespace: r1, r2, r3 (10.3.1.1 to 3), e1, e2 of the elements (4, 5), and u of the users (6).
ip link add net0 type bridge mcast_snooping 0 && ip link set net0 up || fail "no bridge"
n=0
for h in r1 r2 r3 e1 e2 u; do
  n=$((n + 1))
  ip netns add $h && ip -n $h link set lo up || fail "no network namespaces"
  ip link add eth0 netns $h type veth peer name to-$h || fail "no veth"
  ip link set to-$h master net0 up
  ip -n $h addr add 10.3.1.$n/24 dev eth0
  ip -n $h link set eth0 up
  ip -n $h route add 239.0.0.0/8 dev eth0
done

# with HOST COMMAND... runs a command there, as the process itself: it can be killed.
with() { host=$1; shift; exec /bin/ip netns exec "$host" "$@"; }

# joined HOST ADDRESS: whether the host has an association with this address; home HOST is the registrar with which it has one.
joined() { on $1 grep -q "[*]$2\>" /proc/net/sctp/assocs; }
home() { on $1 grep ' 3863 ' /proc/net/sctp/assocs | grep -o '[*]10\.3\.1\.[123]\>' | tail -n 1 | cut -c9; }

capture registrars 'sctp port 3863' net0
for i in 1 2 3; do
  with r$i $R rspregistrar -identifier=0x0a0a0a0$i -asap=10.3.1.$i:3863 -asapannounce=off -enrp=10.3.1.$i:9901 -enrpannounce=239.0.0.51:9901 \
    -logcolor=off > registrar$i.log 2>&1 &
  eval "registrar$i=$!"
done
waitfor "the registrars know each other" "joined r1 10.3.1.2 && joined r1 10.3.1.3 && joined r2 10.3.1.3"

# registrars ADDRESS is where a sidecar looks for registrars.
registrars() {
  cat << END
log { level = "debug" }
source "asap" "core" {
  registrars = ["10.3.1.1:3863", "10.3.1.2:3863", "10.3.1.3:3863"]
  listen     = "$1:0"
  interval   = "1s"
}
END
}

# element N starts host eN: a plain server, and the sidecar before it, for our pool_user and for rspterminal.
element() {
  with e$1 element echo 127.0.0.1:9001 > server$1.log 2>&1 &
  eval "server$1=$!"
  at=10.3.1.$(($1 + 3))
  { registrars $at; cat << END; } > pe$1.hcl
pool_element "lines-$1" {
  mapping = "sctp"
  listen  = "$at:7001"
  server  = "127.0.0.1:9001"
  register {
    pool   = "LinesPool"
    source = "asap.core"
  }
}
pool_element "echo-$1" {
  mapping = "sctp"
  peer    = "native"
  ppid    = 0
  listen  = "$at:7003"
  server  = "127.0.0.1:9001"
  protocol "line" {}
  register {
    pool   = "EchoPool"
    source = "asap.core"
  }
}
END
  with e$1 poolproxy run -config pe$1.hcl > pe$1.log 2>&1 &
  eval "pe$1=$!"
}
element 1
element 2
{ registrars 10.3.1.6; cat << END; } > pu.hcl
pool "LinesPool" {
  mapping = "sctp"
  source  = "asap.core"
}
pool_user "lines" {
  listen = "127.0.0.1:5000"
  pool   = "LinesPool"
  protocol "line" { safe = ["."] }
}
END
with u poolproxy run -config pu.hcl > pu.log 2>&1 &
for i in 1 2; do waitfor "elements of e$i registered" "[ \$(grep -c 'registered in a pool' pe$i.log) = 2 ]"; done
waitfor "the pool user knows both" "grep -q 'a pool has changed.*elements=2' pu.log"

# rspterminal says what it reads; what it reads before it has an element is lost.
mkfifo terminal
with u $R rspterminal -poolhandle=EchoPool -registrar=10.3.1.2:3863 -asapannounce=off -logcolor=off < terminal > term.log 2>&1 & terminal=$!
exec 4<> terminal
waitfor "rspterminal has found an element" 'echo "said by rspterminal" >&4; grep -q "said by rspterminal" term.log'
kill -9 $terminal

# A session of our pool user.
mkfifo words
with u nc 127.0.0.1 5000 < words > answers.log 2>&1 &
exec 3<> words # not only to write: that waits for the reader, and the end of another process would interrupt it
said() { echo "$1" >&3; waitfor "an answer" "grep -q '^$1' answers.log"; }
said first
case $(grep 'association up' pu.log | tail -n 1) in
  *10.3.1.4:*) serving=1 other=2 ;;
  *10.3.1.5:*) serving=2 other=1 ;;
  *) fail "nobody serves" ;;
esac

silent=$(home e$serving)
ip link set to-r$silent down # or its kernel would say goodbye
eval kill -9 '$registrar'$silent
say "registrar $silent, the home of e$serving, has fallen silent"
waitfor "another one has taken over" "[ \$(home e1) != $silent ] && [ \$(home e2) != $silent ]"
waitfor "the pool user has another one" "[ \"\$(home u)\" != $silent ]"
grep -q 'gone=0x' pu.log && fail "an element was lost"
said second

eval kill -9 '$server'$serving '$pe'$serving
say "e$serving is killed"
said third
waitfor "it has gone from the pool" "grep -q 'a pool has changed.*elements=1.*gone=0x' pu.log"
killed=$(home e$other)
eval kill -9 '$registrar'$killed
say "registrar $killed, the home of e$other, is killed"
last=$((6 - silent - killed)) at=10.3.1.$((other + 3))
waitfor "rsplib's hsdump finds e$other at registrar $last" "on u hsdump 10.3.1.$last:9901 > hsdump.log 2>&1; grep -q 'userT: {$at} 7001' hsdump.log && grep -q 'home=.0a0a0a0$last' hsdump.log"
grep -q "userT: {10.3.1.$((serving + 3))}" hsdump.log && fail "what is dead is still there"
said fourth
eval kill '$pe'$other
waitfor "it has deregistered itself" "on u hsdump 10.3.1.$last:9901 > hsdump.log 2>&1; grep -q '(0 Pools' hsdump.log"
captured
say "PASS"
