#!/bin/sh
# The routes that tproxy.nft needs: packets with its mark are delivered to this host, whatever their address. "up" may be run again;
# "down" undoes it. They are gone with the next start of the machine.
set -eu
mark=0x7070 # as in tproxy.nft
table=7070  # of routes; nothing else may use it

for family in -4 -6; do
    while ip "$family" rule delete fwmark "$mark" lookup "$table" 2>/dev/null; do :; done
    ip "$family" route flush table "$table" 2>/dev/null || :
    case "${1-}" in
    up)
        ip "$family" rule add fwmark "$mark" lookup "$table"
        ip "$family" route add local default dev lo table "$table"
        ;;
    down) ;;
    *)
        echo "usage: $0 up|down" >&2
        exit 2
        ;;
    esac
done
