# Callbacks with all that an expression can do with what a client has said.
pool "p" {
  element "a" { address = "10.0.0.1:1" }
}

pool_user "u" {
  listen = "127.0.0.1:5000"
  pool   = "p"
  protocol "line" {}
  failover {
    callback {
      match    = "^GET (?P<file>\\S+) (?P<offset>\\S+)"
      send     = "GET ${request.file} ${request.offset + reply.bytes}\n"
      continue = true
    }
    callback {
      match = "^(?P<verb>\\S*) ?(?P<x>\\S*) ?(?P<y>(?s:.*))$"
      send  = "${request.x * request.y / reply.bytes} ${request.x % request.y} ${-request.x - request.y}\n"
    }
    callback {
      match = "^GET (?P<x>\\S*) (?P<y>\\S*)"
      send  = "${request.x < request.y} ${request.x == 5} ${request.x ? "a" : request.y} ${!request.y}\n"
    }
    callback {
      match = "(?P<x>(?s:.*))"
      send  = "${upper(request.x)}${lower(request.text)}${strlen(request.x)}${base64encode(request.x)}${format("%q %9.3s %v", request.x, request.text, reply.bytes)}\n"
    }
    callback {
      match = "^GET (?P<x>\\S*)"
      send  = "%{ for v in [request.x, request.text] ~} ${format("%d %5.2f %b", v, v, v)} %{ endfor ~}\n"
    }
  }
}
