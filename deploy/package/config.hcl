# poolproxy's configuration. All files *.hcl in this folder are read as one. /usr/share/doc/poolproxy/examples/config.hcl has every option
# that there is.
#
#   poolproxy validate -config /etc/poolproxy    finds mistakes
#   systemctl reload poolproxy                   has it read again; systemctl restart poolproxy, what needs that
#   poolproxy status                             shows what it does

# Status and metrics over HTTP, on loopback.
admin {
  listen = "127.0.0.1:7878"
}

# A pool in which nothing is yet, and which nobody listens for: put one of your own in its place, with a pool_user at the clients' side and a
# pool_element before each server.
pool "example" {
}
