# star makes three hosts, the network namespaces c (of the client), a and b (of the servers), each on two networks, 1 and 2: 10.2.1.1
# and 10.2.2.1, 10.2.1.2 and 10.2.2.2, 10.2.1.3 and 10.2.2.3. Nothing is routed between the networks.
star() {
  for p in 1 2; do
    ip link add "net$p" type bridge && ip link set "net$p" up || fail "no bridge"
  done
  for h in c:1 a:2 b:3; do
    n=${h%:*}
    ip netns add "$n" && ip -n "$n" link set lo up || fail "no network namespaces"
    for b in tcp_rmem tcp_wmem; do # else a whole download lies in buffers
      on "$n" sh -c "echo 4096 65536 65536 > /proc/sys/net/ipv4/$b" || fail "no buffers"
    done
    on "$n" sh -c "echo 9899 > /proc/sys/net/sctp/udp_port" || fail "no SCTP over UDP"
    for p in 1 2; do
      ip link add "$n$p" netns "$n" type veth peer name "to-$n$p" || fail "no veth"
      ip link set "to-$n$p" master "net$p" up
      ip -n "$n" addr add "10.2.$p.${h#*:}/24" dev "$n$p"
      ip -n "$n" link set "$n$p" up
    done
  done
}

# cutoff HOST NETWORK... loses every packet to and from a host on these networks, silently.
cutoff() {
  host=$1; shift
  for p; do
    tc -n "$host" qdisc replace dev "$host$p" root netem loss 100% && tc qdisc replace dev "to-$host$p" root netem loss 100% || fail "no netem"
  done
  say "$host is cut off from network $*"
}
join() {
  host=$1; shift
  for p; do
    tc -n "$host" qdisc del dev "$host$p" root && tc qdisc del dev "to-$host$p" root || fail "not cut off"
  done
  say "$host is back in network $*"
}

# webserver HOST starts an nginx on 127.0.0.1:8080 of a host; it serves /tmp/www.
webserver() {
  cat > "/tmp/nginx-$1.conf" << END
user root; worker_processes 1; daemon off; pid /tmp/nginx-$1.pid; error_log stderr;
events { worker_connections 64; }
http {
  access_log /out/access-$1.log;
  client_body_temp_path /tmp/$1; proxy_temp_path /tmp/$1; fastcgi_temp_path /tmp/$1; uwsgi_temp_path /tmp/$1; scgi_temp_path /tmp/$1;
  server { listen 127.0.0.1:8080; root /tmp/www; }
}
END
  on "$1" nginx -e stderr -c "/tmp/nginx-$1.conf" > "nginx-$1.log" 2>&1 &
  waitfor "nginx of $1" "on $1 curl -sf -o /dev/null http://127.0.0.1:8080/small"
}
# killweb HOST kills its nginx, the master and its worker, as fast as can be.
killweb() {
  master=$(cat "/tmp/nginx-$1.pid")
  kill -9 "$master" $(cat "/proc/$master/task/$master/children") || fail "no nginx to kill"
  say "nginx of $1 is killed"
}

# element HOST starts its pool_element sidecar, on both networks; its process is in element_HOST. BLOCKS is put into its configuration.
element() {
  case $1 in a) n=2 ;; b) n=3 ;; esac
  cat > "element-$1.hcl" << END
log { level = "debug" }
admin { listen = "127.0.0.1:7878" }
limits { shards = 2 }
pool_element "$1" {
  mapping = "sctp"
  listen  = "10.2.1.$n:7001"
  paths   = ["10.2.2.$n"]
  udp_port = 9899
  server  = "127.0.0.1:8080"
  $BLOCKS
}
END
  : > "element-$1.log"
  /bin/ip netns exec "$1" poolproxy run -config "element-$1.hcl" >> "element-$1.log" 2>&1 & # on would be a process of its own
  eval "element_$1=$!"
  waitfor "sidecar of $1" "grep -q 'poolproxy is ready' element-$1.log"
}

# user PROTOCOL starts the pool_user sidecar of c: 127.0.0.1:5000. Element a has the PRIORITY (2 if it is not set), b has 1. With
# 127.0.0.1:5001 it is b alone, over UDP, and resumption the only hope. Like the element's it has two shards.
user() {
  cat > user.hcl << END
log { level = "debug" }
admin { listen = "127.0.0.1:7878" }
limits { shards = 2 }
pool "p" {
  mapping = "sctp"
  policy  = "priority"
  element "a" {
    address  = "10.2.1.2:7001"
    paths    = ["10.2.2.2"]
    priority = ${PRIORITY:-2}
  }
  element "b" {
    address  = "10.2.1.3:7001"
    paths    = ["10.2.2.3"]
    priority = 1
  }
}
pool_user "u" {
  listen = "127.0.0.1:5000"
  pool   = "p"
  local  = ["10.2.1.1", "10.2.2.1"]
  protocol "$1" {}
  failover {
    resume = "1s"
    fence  = "1s"
  }
  $BLOCKS
}
pool "only" {
  mapping  = "sctp"
  udp_port = 9899
  element "b" {
    address  = "10.2.1.3:7001"
    paths    = ["10.2.2.3"]
  }
}
pool_user "v" {
  listen = "127.0.0.1:5001"
  pool   = "only"
  protocol "stream" {}
  failover { resume = "20s" }
  $BLOCKS
}
END
  : > user.log
  on c poolproxy run -config user.hcl >> user.log 2>&1 &
  waitfor "sidecar of c" "grep -q 'poolproxy is ready' user.log"
}

# download FILE RATE begins one: to /tmp/got, by the process $curl; got SIZE tells whether so much is there, downloaded waits for the
# rest, and compares.
download() {
  wanted=$1
  rm -f /tmp/got
  on c curl -sS --fail --limit-rate "$2" -o /tmp/got -w 'connections=%{num_connects} status=%{http_code}\n' "http://127.0.0.1:5000/$1" > curl.log 2>&1 &
  curl=$!
}
got() { [ "$(stat -c %s /tmp/got 2>/dev/null || echo 0)" -ge "$1" ]; }
downloaded() {
  waitfor "$wanted has come" '[ ! -d /proc/$curl ]' 120
  wait $curl || fail "curl ended with $?: $(cat curl.log)"
  grep -q 'connections=1 status=200' curl.log || fail "not on one connection: $(cat curl.log)"
  [ "$(sha256sum < /tmp/got)" = "$(sha256sum < "/tmp/www/$wanted")" ] || fail "$wanted differs"
}

# status HOST asks a sidecar; serving names the element of the only session.
status() { on "$1" curl -sf http://127.0.0.1:7878/v1/status; }
serving() { status c | tr -d ' \n' | sed -n 's/.*"sessions":\[{[^]]*"element":"\([ab]\)".*/\1/p'; }
