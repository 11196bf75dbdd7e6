# Every kind of failure, for sessions in every state: the program cells does it, on host c. It needs the network namespace of the bridges, too.
star
ip netns attach root 1 || fail "the first network namespace has no name"
mkdir -p /out/cells
on c cells run /out/cells || fail "cells"
say "PASS"
