pool "files" {
  element "a" { address = "10.0.0.11:7001" }
}

pool_user "files" {
  listen = "127.0.0.1:5000"
  pool   = "files"
  protocol "line" {}
  callback { send = "HELLO\n" }
  failover {
    fence = "1s"
    resume = "2s"
    callback {}
    callback {
      send = "HELLO ${sesion.id}\n"
    }
    callback {
      match = "^GET (?P<file>\\S+) (?P<offset>[0-9]+)"
      send  = "GET ${request.file} ${request.ofset + reply.bytes}\n"
    }
    callback { send = "GET ${request.file}\n" }
    callback { send = "GET ${reply} ${element.port} ${session["clint"]}\n" }
    callback { send = "AUTH ${state.login} ${state.login.user}\n" }
    callback { send = "HELLO ${session.id}" }
    callback { send = "${upcase(element.name)}\n" }
    callback { send = "${session.client + 1 + true}\n" }
    callback { send = ["HELLO\n"] }
    callback { send = "" }
    callback { send = "${format(request.text, 1)}\n" }
    callback {
      send     = "GET\n"
      expect   = "^OK"
      continue = true
      timeout  = "1s"
    }
    callback {
      send     = "GET\n"
      continue = "yes"
    }
    callback {
      send = "GET\n"
      exec = ["/bin/sh"]
    }
    callback {
      exec    = ["./resume"]
      match   = "x"
    }
  }
}

pool_user "other" {
  listen = "127.0.0.1:5001"
  pool   = "files"
  protocol "stream" {}
  failover {
    callback {
      match    = "^GET"
      send     = "GET\n"
    }
    callback {
      send     = "GET\n"
      continue = true
    }
  }
}
