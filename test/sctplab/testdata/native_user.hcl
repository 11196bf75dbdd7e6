admin {
  listen = "127.0.0.1:7878"
}
log {
  level = "debug"
}
pool_element "pingpong" {
  mapping = "sctp"
  peer    = "native"
  ppid    = 33
  listen  = "10.1.1.2:7001"
  server  = "127.0.0.1:9000"

  # type, flags, and the length of the whole message in two bytes
  protocol "length" {
    offset = 2
    width  = 2
    counts = "message"
    header = 12
  }
}
pool_element "echo" {
  mapping = "sctp"
  peer    = "native"
  ppid    = 0
  listen  = "10.1.1.2:7003"
  server  = "127.0.0.1:9001"

  protocol "line" {}
}
