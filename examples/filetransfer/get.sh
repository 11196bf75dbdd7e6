#!/usr/bin/env bash
# get.sh FILE [HOST PORT] fetches a file and writes it to standard output. It is as simple as a client can be: it asks once, and
# knows nothing of several servers, of offsets other than 0, or of what to do when a connection breaks.
LC_ALL=C
file=$1 host=${2:-127.0.0.1} port=${3:-7000}

exec 3<>"/dev/tcp/$host/$port" || exit 1
printf 'GET %s 0\n' "$file" >&3
while IFS= read -r line <&3; do
  case $line in
    .) exit 0 ;;
    .*) echo "get.sh: $file: ${line#. }" >&2; exit 1 ;;
  esac
  printf '%s\n' "$line"
done
echo "get.sh: $file: the connection was lost" >&2
exit 1
