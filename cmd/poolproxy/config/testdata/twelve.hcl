log {
  level = "verbose"
}
grace = 30

pool "orders" {
  polcy   = "priority"
  mapping = "scpt"
  element "a" { address = "10.0.0.11" }
  element "b" {
    address  = "10.0.0.12:7001"
    priority = 3
  }
}

pool_user "orders" {
  listen = "127.0.0.1:5000"
  pool   = "order"
  protocol "line" {
    safe = ["^GET ", "^(STAT$"]
  }
  heartbeat { interval = "1ms" }
  retrieval { memory = "1 apple" }
  failover {
    ack           = "reed"
    resume = "3s"
    fence = "2s"
  }
}

pool_element "orders-a" {
  listen = "127.0.0.1:5000"
  server = "127.0.0.1:6379"
}
