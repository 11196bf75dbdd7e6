# A plain TCP client and a real RSerPool element, rspserver -echo, with our pool_user between them: a mebibyte of lines, byte-exact.
hosts
registrar
rspservers -echo

cat > pp.hcl <<'EOF'
log { level = "debug" }
pool "echo" {
  mapping = "sctp"
  peer    = "native"
  ppid    = 7
  element "1" { address = "10.1.1.2:7001" }
  element "2" { address = "10.1.1.3:7002" }
}
pool_user "echo" {
  listen = "127.0.0.1:5000"
  pool   = "echo"
  protocol "line" { safe = ["."] }
}
EOF
proxy
talk lines 127.0.0.1:5000 1048576 > talk.log 2>&1 || { cat talk.log; tail -n 30 pp.log; fail "the client"; }
cat talk.log
say "PASS"
