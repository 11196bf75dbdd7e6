# Every scenario begins with this. It runs under busybox's sh, as root, in /out; what it leaves there comes back.

# busybox's shell prefers its own applets to programs, and its ip and tc know neither network namespaces, veth nor netem.
ip() { /bin/ip "$@"; }
tc() { /bin/tc "$@"; }

# say writes a line with the time since boot, to the console and to events.log.
say() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*" | tee -a /out/events.log; }

# fail ends the scenario.
fail() { say "FAIL: $*"; exit 1; }

# waitfor WHAT CONDITION [SECONDS]: polls a shell condition, and fails with the ends of all logs if it does not come true.
waitfor() {
  tries=$((${3:-90} * 5))
  until eval "$2"; do
    tries=$((tries - 1))
    if [ $tries -lt 0 ]; then
      for log in *.log; do echo "== $log"; tail -n 20 "$log"; done
      fail "$1: not within ${3:-90} s"
    fi
    sleep 0.2
  done
  say "ok: $1"
}

# hosts puts 10.1.1.1 to 10.1.1.4 on a dummy interface: rsplib refuses a host that has only loopback addresses.
hosts() {
  ip link set dummy0 multicast on up || fail "no dummy interface"
  for i in 1 2 3 4; do ip addr add "10.1.1.$i/24" dev dummy0; done
}

# capture NAME [FILTER [INTERFACE]]: records packets into NAME.pcap until captured ends it.
capture() {
  tcpdump -Z root -i ${3:-any} -B 16384 --immediate-mode -U -w "$1.pcap" "${2:-sctp}" > "tcpdump.$1.log" 2>&1 & # there is no user tcpdump to become
  capturing=$!
  waitfor "capturing $1" "grep -q 'listening on' tcpdump.$1.log"
}
captured() {
  kill $capturing; wait $capturing
  grep -h '^[1-9][0-9]* packets dropped by kernel' tcpdump.*.log && fail "the capture has gaps"
}

# rsplib's programs block-buffer what they print: start them behind $R, with $RSP for the registrar's address.
R="stdbuf -oL -eL"
RSP="-registrar=10.1.1.1:3863 -asapannounce=off -logcolor=off"
registrar() {
  $R rspregistrar -identifier=0x0a0a0a0a -asap=10.1.1.1:3863 -asapannounce=off -enrp=10.1.1.1:9901 -enrpannounce=off \
    -logcolor=off > registrar.log 2>&1 &
  waitfor "registrar up" 'grep -q "Max Endpoint Unreachable" registrar.log'
}

# pair makes two hosts, the network namespaces a and b, joined by two paths: 10.2.1.1 to 10.2.1.2 and 10.2.2.1 to 10.2.2.2. SCTP
# pairs every address of one end with every one of the other: each host would also send to 10.2.2.2 from 10.2.1.1, and out of the
# interface of the target. Nothing is routed between the paths.
pair() {
  ip netns add a && ip netns add b || fail "no network namespaces"
  for p in 1 2; do
    ip link add "a$p" netns a type veth peer name "b$p" netns b || fail "no veth"
    for host in a:1 b:2; do
      n=${host%:*}
      ip -n "$n" addr add "10.2.$p.${host#*:}/24" dev "$n$p"
      ip -n "$n" link set "$n$p" up
      ip -n "$n" link set lo up
    done
  done
}

# on HOST COMMAND... runs a command on a or b.
on() { host=$1; shift; ip netns exec "$host" "$@"; }

# cutpath PATH loses every packet of a path, both ways and silently; healpath ends that.
cutpath() {
  for n in a b; do tc -n $n qdisc replace dev "$n$1" root netem loss 100% || fail "no netem"; done
  say "path $1 is cut"
}
healpath() {
  for n in a b; do tc -n $n qdisc del dev "$n$1" root; done
  say "path $1 is healed"
}

# rspservers WHAT starts two pool elements of rsplib, whose processes are $pe1 and $pe2; rspserver_1 and _2 start one.
rspserver_1() { $R rspserver "$1" -local=10.1.1.2:7001 -identifier=0x11111111 $RSP > pe1.log 2>&1 & pe1=$!; }
rspserver_2() { $R rspserver "$1" -local=10.1.1.3:7002 -identifier=0x22222222 $RSP > pe2.log 2>&1 & pe2=$!; }
rspservers() {
  rspserver_1 "$1"
  rspserver_2 "$1"
  waitfor "2 elements registered" 'grep -q "Identifier  " pe1.log && grep -q "Identifier  " pe2.log'
}

# pingpong_config writes pp.hcl for a plain TCP client before the two rspservers -pingpong.
pingpong_config() {
  cat > pp.hcl <<'EOF'
log { level = "debug" }
pool "pingpong" {
  mapping = "sctp"
  peer    = "native"
  ppid    = 33
  element "1" { address = "10.1.1.2:7001" }
  element "2" { address = "10.1.1.3:7002" }
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
}
EOF
}

# proxy starts our sidecar with pp.hcl; its process is $pp. serving is the element that has its only session; pongs counts what talk
# pingpong has got.
proxy() {
  poolproxy run -config pp.hcl > pp.log 2>&1 & pp=$!
  waitfor "poolproxy listens" 'grep -q "listening for clients" pp.log'
}
serving() { poolproxy status | awk '$3 ~ /^127.0.0.1:/ { print $4 }'; }
pongs() { grep -c " reply " talk.log; }

# settled stops the client, talk pingpong, if each of its pings was answered and the cookie behind the answer is kept: rspserver sends
# the two one after the other, and whoever kills it between them takes the cookie away.
settled() {
  kill -STOP $client
  [ $(grep -c " sent" talk.log) = $(grep -c "cookie kept" pp.log) ] && return
  kill -CONT $client
  false
}
