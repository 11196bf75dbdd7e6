# Our package registrar, and rsplib's programs, at one rspregistrar.
hosts
capture registrar
registrar
handlespace follow 10.1.1.1:3863 EchoPool > follow.log 2>&1 &
waitfor "no such pool" 'grep -q "unknown pool" follow.log'
handlespace register 10.1.1.1:3863 10.1.1.2:0 EchoPool ours 10.1.1.2:7001 > ours.log 2>&1 & ours=$!
waitfor "registered" 'grep -q ^registered ours.log'
waitfor "resolved" 'grep -q "^1 elements.*10.1.1.2:7001" follow.log'
kill $ours
waitfor "deregistered" 'grep -q ^deregistered ours.log'
captured
say "PASS"
