#!/bin/sh
# Says which servers the dev network would use: those of the host where they are new enough,
# otherwise those of the private root.
#
# usage: servers.sh [ROOT]        ROOT: the private root; without it only the host is looked at
# output, one line per server, fields separated by tabs:
#   <server>  <root>  <path>  <version>     root is `/` for the host; path is inside root
#   <server>  -       -       <what is wrong with the host's>
#
# HYPERHASH_DEV_SERVERS=private ignores the host's servers.
set -eu

private=${1:-}
tab=$(printf '\t')
# A service manager's PATH may lack the folders where servers live.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Succeeds if dotted version $1 is at least $2.
at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# Prints the first dotted number of standard input.
first_version() {
  grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1
}

use() {
  printf '%s%s%s%s%s%s%s\n' "$1" "$tab" "$2" "$tab" "$3" "$tab" "$4"
}

# $1 server, $2 path inside the private root, $3 version of the private root's, $4 why not the host's
use_private() {
  if [ -n "$private" ] && [ -n "$2" ] && [ -x "$private$2" ]; then
    use "$1" "$private" "$2" "$3"
  else
    use "$1" - - "$4"
  fi
}

find_nats_server() {
  why="nats-server >= 2.15.1 is missing"
  if [ "${HYPERHASH_DEV_SERVERS:-auto}" != private ] && path=$(command -v nats-server); then
    version=$("$path" --version | first_version)
    if at_least "$version" 2.15.1; then
      use nats-server / "$path" "$version"
      return
    fi
    why="nats-server $version is installed, but >= 2.15.1 is needed"
  fi
  # Static, so it runs without entering the root.
  use_private nats-server /usr/sbin/nats-server private "$why"
}

find_postgresql() {
  why="PostgreSQL >= 16 with TimescaleDB is missing"
  if [ "${HYPERHASH_DEV_SERVERS:-auto}" != private ]; then
    for postgres in $(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -rV) \
      $(command -v postgres || true); do
      bin=$(dirname "$(readlink -f "$postgres")")
      [ -x "$bin/initdb" ] || continue
      version=$("$postgres" --version | first_version)
      if ! at_least "$version" 16; then
        why="PostgreSQL $version is installed, but >= 16 with TimescaleDB is needed"
        continue
      fi
      major=${version%%.*}
      for share in "/usr/share/postgresql/$major" "$bin/../share/postgresql" "$bin/../share"; do
        if [ -e "$share/extension/timescaledb.control" ]; then
          use postgresql / "$bin" "$version"
          return
        fi
      done
      why="PostgreSQL $version is installed without TimescaleDB"
    done
  fi
  bin=$(find "${private:-/nonexistent}/usr/lib/postgresql" -maxdepth 2 -name bin 2>/dev/null |
    sort -rV | head -n 1)
  use_private postgresql "${bin#"$private"}" private "$why"
}

find_bitcoind() {
  why="bitcoind >= 29 with wallet and ZMQ is missing"
  if [ "${HYPERHASH_DEV_SERVERS:-auto}" != private ] && path=$(command -v bitcoind); then
    version=$("$path" -version | first_version)
    help=$("$path" -help)
    case $help in
    *-zmqpubsequence=*) zmq=yes ;;
    *) zmq= ;;
    esac
    case $help in
    *-walletdir=*) wallet=yes ;;
    *) wallet= ;;
    esac
    if at_least "$version" 29 && [ "$zmq" ] && [ "$wallet" ]; then
      use bitcoind / "$path" "$version"
      return
    fi
    why="bitcoind $version is installed, but >= 29 with wallet and ZMQ is needed"
  fi
  use_private bitcoind /usr/bin/bitcoind private "$why"
}

find_nats_server
find_postgresql
find_bitcoind
