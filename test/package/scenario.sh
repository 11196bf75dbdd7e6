# What becomes of the package in a Debian that has booted: installed, used, reloaded, upgraded, killed, removed, purged. It runs in /run/out;
# what it needs is in /lab.
set -u

say() { echo "== $(cut -d' ' -f1 /proc/uptime) $*"; }

fail() {
    echo "FAILED: $*"
    systemctl status --no-pager poolproxy.service | head -n 20
    journalctl --no-pager --output=cat -n 40
    exit 1
}

must() { "$@" >last 2>&1 || { cat last; fail "$*"; }; }

# is WHAT GOT WANTED
is() { [ "$2" = "$3" ] || fail "$1: it is '$2' and should be '$3'"; }

# waitfor WHAT COMMAND...: at most half a minute, which is long.
waitfor() {
    what=$1 end=$(($(date +%s) + 30))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt $end ] || fail "waited in vain for $what"
        sleep 0.2
    done
}

property() { systemctl show --property="$1" --value poolproxy.service; }
running() { is "the unit ($1)" "$(property ActiveState)/$(property SubState)" active/running; }

# answers N: the client has had that many answers more than before, and none that was wrong.
answers() {
    before=$(cat answers)
    waitfor "$1 more answers" sh -c "[ \$(cat answers) -ge $((before + $1)) ]"
    [ ! -e broken ] || fail "the client: $(cat broken)"
}
logged() { journalctl --no-pager --output=cat -u poolproxy.service | grep -q -- "$1"; }

say install
must dpkg --install /lab/old.deb
running installed
is "what is started at boot" "$(systemctl is-enabled poolproxy.service)" enabled
is "the unit's type" "$(property Type)" notify
is "what it says of itself" "$(property StatusText)" "1 pool, 0 pool_users, 0 pool_elements"
must poolproxy status
must poolproxy validate -config /etc/poolproxy
must systemd-analyze verify --man=no poolproxy.service

say sandbox
pid=$(property MainPID)
is "effective, permitted, inheritable, bounding and ambient capabilities" "$(sed -n 's/^Cap.*:[[:space:]]*//p' "/proc/$pid/status" | sort -u)" 0000000000000000
is "whether it could get more" "$(sed -n 's/^NoNewPrivs:[[:space:]]*//p' "/proc/$pid/status")" 1
[ "$(stat -c %u "/proc/$pid")" -ge 61184 ] || fail "it runs as user $(stat -c %u "/proc/$pid"), who is not dynamic"
systemd-analyze security --no-pager poolproxy.service >security.txt

say "no right to listen on port 80"
cp /lab/config.hcl /etc/poolproxy/config.hcl
perl /lab/echo.pl 8001 a & first=$!
perl /lab/echo.pl 8002 b &
systemctl restart poolproxy.service && fail "it listens on port 80"
waitfor "the reason" logged 'bind: permission denied'

say "socket activation"
sed s/0.0.0.0:80/127.0.0.1:80/ /usr/share/doc/poolproxy/examples/poolproxy.socket >/etc/systemd/system/poolproxy.socket
must systemctl stop poolproxy.service
must systemctl reset-failed poolproxy.service
must systemctl daemon-reload
must systemctl start poolproxy.socket
must systemctl start poolproxy.service
running "with a socket"
echo 0 >answers
perl /lab/client.pl 80 & client=$!
answers 3

say failover
kill -9 $first
answers 3

say reload
sed -i 's/^  element "b".*/&\n  element "c" { address = "127.0.0.1:9003" }/' /etc/poolproxy/config.hcl
must systemctl reload poolproxy.service
waitfor "the reload" logged 'elements=3 added=c'
running reloaded
answers 3

say "upgrade under a connection"
pid=$(property MainPID)
must dpkg --install /lab/new.deb
running upgraded
is "the version that was installed" "$(poolproxy version | cut -d' ' -f2 | tr -d ,)" 0.2.0
must poolproxy status -json
grep -q '"version": "0.2.0' last || { head -5 last; fail "the old version runs"; }
grep -q 'element "c"' /etc/poolproxy/config.hcl || fail "the administrator's configuration is gone"
[ "$(property MainPID)" != "$pid" ] || fail "the main process is the old one"
answers 3
kill $client

say "kill -9"
pid=$(property MainPID)
kill -9 "$pid"
waitfor "it to be started again" sh -c "[ \"\$(systemctl show --property=MainPID --value poolproxy.service)\" != $pid ] && systemctl is-active poolproxy.service"

say "the right that tproxy takes"
sed -i 's/^  listen = "127.0.0.1:80"/  listen = "127.0.0.1:8000"\n  transparent = "tproxy"\n  match = ["0.0.0.0\/0:80"]/' /etc/poolproxy/config.hcl
must systemctl stop poolproxy.socket poolproxy.service
systemctl start poolproxy.service && fail "it is transparent without a right"
waitfor "the reason" logged 'CAP_NET_RAW'
must mkdir -p /etc/systemd/system/poolproxy.service.d
must cp /usr/share/doc/poolproxy/examples/transparent.conf /etc/systemd/system/poolproxy.service.d/
must systemctl stop poolproxy.service
must systemctl reset-failed poolproxy.service
must systemctl daemon-reload
must systemctl start poolproxy.service
running transparent
must rm -r /etc/systemd/system/poolproxy.service.d

say remove
must systemctl stop poolproxy.socket
must rm /etc/systemd/system/poolproxy.socket
must dpkg --remove poolproxy
is "the unit that is removed" "$(property ActiveState)" inactive
[ -e /etc/poolproxy/config.hcl ] || fail "the configuration is gone"
must dpkg --purge poolproxy
left=$(find / -xdev -name '*poolproxy*' ! -path '/lab/*' ! -path '/proc/*' 2>/dev/null)
is "what is left" "$left" ""
say "done"
