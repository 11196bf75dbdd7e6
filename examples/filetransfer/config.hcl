# A file transfer that survives its servers: the example of draft-conrad-rserpool-service-00 §6.3.

pool "mirrors" {
  mapping = "none" # the servers have no sidecars
  element "a" { address = "127.0.0.1:7001" }
  element "b" { address = "127.0.0.1:7002" }
}

pool_user "files" {
  listen = "127.0.0.1:7000"
  pool   = "mirrors"

  protocol "line" {
    reply = "until"
    until = "^\\."     # the line behind the last one of a file
    safe  = ["^GET "]
  }

  failover {
    # A new server is asked for the rest of the file: its bytes follow those that the client has.
    callback {
      match    = "^GET (?P<file>\\S+) (?P<offset>[0-9]+)$"
      send     = "GET ${request.file} ${request.offset + reply.bytes}\n"
      continue = true
    }
  }
}
