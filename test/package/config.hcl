pool "echo" {
  mapping = "tcp"
  element "a" { address = "127.0.0.1:9001" }
  element "b" { address = "127.0.0.1:9002" }
}

grace = "1s" # where an upgrade is a restart

pool_user "echo" {
  listen = "127.0.0.1:80"
  pool   = "echo"
  protocol "line" { safe = ["."] }
}

pool_element "a" {
  listen  = "127.0.0.1:9001"
  server  = "127.0.0.1:8001"
  mapping = "tcp"
}

pool_element "b" {
  listen  = "127.0.0.1:9002"
  server  = "127.0.0.1:8002"
  mapping = "tcp"
}
