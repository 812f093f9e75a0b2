#!/bin/sh
# Makes this machine able to build and run the dev network: installs what is missing and, where the
# host's own servers are too old, makes a private root folder with newer ones. Nothing of the host's
# servers is touched. Safe to run again; does nothing when nothing is missing.
#
# usage: prepare.sh            install and make what is missing
#        prepare.sh --root     print the private root, if there is one
#        prepare.sh --remove   delete all private roots
set -eu

# Part of the root's name: raise it when this script makes the root in another way.
recipe=1
suite=forky
packages=nats-server,postgresql-18,postgresql-18-timescaledb,bitcoin-knots

here=$(cd "$(dirname "$0")" && pwd)
roots=${XDG_CACHE_HOME:-$HOME/.cache}/hyperhash/rootfs
key=$(printf '%s %s %s' "$recipe" "$suite" "$packages" | sha256sum | cut -c1-16)
root=$roots/$key

say() { printf '%s\n' "prepare: $*" >&2; }

die() {
  say "$1"
  shift
  for line; do say "  $line"; done
  exit 1
}

servers() {
  if [ -d "$root" ]; then sh "$here/servers.sh" "$root"; else sh "$here/servers.sh"; fi
}

missing_servers() {
  servers | awk -F '\t' '$2 == "-" { print $4 }'
}

# $1: packages of the host to install
install_packages() {
  command -v apt-get >/dev/null || die "missing: $1" \
    "This system has no apt-get. Install them with its own package manager, then try again."
  [ "$(id -u)" -eq 0 ] || die "missing: $1" "Run this as root, or: apt-get install $1"
  say "installing $1"
  # An outdated package list is better than none, so a failed update alone stops nothing.
  apt-get update -qq >&2 || say "the package lists could not be updated; going on with those here"
  # shellcheck disable=SC2086  # a list, split on purpose
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1 >&2 ||
    die "could not install: $1" "Look at the lines above; is the network there and the disk not full?"
}

build_tools() {
  wanted=
  command -v cc >/dev/null || wanted="$wanted gcc libc6-dev"
  command -v c++ >/dev/null || wanted="$wanted g++"
  command -v pkg-config >/dev/null || wanted="$wanted pkg-config"
  { command -v pkg-config >/dev/null && pkg-config --exists libzmq; } || wanted="$wanted libzmq3-dev"
  [ -z "$wanted" ] || install_packages "${wanted# }"
  command -v cargo >/dev/null && return
  if command -v apt-cache >/dev/null && apt-cache show rustup >/dev/null 2>&1; then
    install_packages rustup
  else
    die "Rust is missing" "Install rustup (www.rust-lang.org/tools/install), then try again." \
      "rust-toolchain.toml makes it fetch the right compiler by itself."
  fi
}

# One fault scenario sets workers' clocks wrong with it; nothing else needs it.
fault_tools() {
  for folder in /usr/lib/*/faketime /usr/lib64/faketime /usr/lib/faketime; do
    [ ! -e "$folder/libfaketimeMT.so.1" ] || return 0
  done
  # In a shell of its own: without it everything but that scenario works.
  (install_packages libfaketime) ||
    say "without libfaketime \`loadtest faults clock-off\` cannot run; all else can"
}

# One bench counts instructions with it; nothing else needs it.
bench_tools() {
  command -v valgrind >/dev/null || (install_packages valgrind) ||
    say "without valgrind \`loadtest bench instructions\` cannot run; all else can"
}

make_root() {
  [ "$(id -u)" -eq 0 ] || die "the servers of the dev network are missing:" "$(missing_servers)" \
    "Install them, or run this as root to get a private root folder with them."
  wanted=
  command -v mmdebstrap >/dev/null || wanted="$wanted mmdebstrap"
  [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || wanted="$wanted debian-archive-keyring"
  [ -z "$wanted" ] || install_packages "${wanted# }"

  free_kib=$(df -Pk "$roots" | awk 'NR == 2 { print $4 }')
  [ "$free_kib" -ge 1500000 ] ||
    die "only $((free_kib / 1024)) MiB are free in $roots; the private root needs 1500" \
      "Free some space, or set XDG_CACHE_HOME to a folder on a larger disk."

  # Made beside its place and renamed when complete, so that a half-made root is never used.
  making=$(mktemp -d "$roots/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  trap 'exit 1' HUP INT TERM
  say "making the private root with $packages from Debian $suite (about 20 s, 440 MB)"
  # Mirrors and snapshots that lag behind are fine here: signatures are still checked.
  mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' \
    --include="$packages" "$suite" "$making/root" >"$making/log" 2>&1 || {
    tail -n 20 "$making/log" >&2
    die "the private root could not be made" "Look at the lines above; is the network there?"
  }
  # mktemp's folder is private, but PostgreSQL runs as a user of its own.
  chmod 755 "$making/root"
  mv "$making/root" "$root"
  rm -rf "$making"
  trap - EXIT
}

case ${1:-} in
--root)
  [ ! -d "$root" ] || printf '%s\n' "$root"
  ;;
--remove)
  rm -rf "$roots"
  ;;
'')
  build_tools
  fault_tools
  bench_tools
  mkdir -p "$roots"
  # Two at once would make two; the second waits and finds the first one's.
  exec 9>"$roots/lock"
  flock 9
  [ -z "$(missing_servers)" ] || make_root
  [ ! -d "$root" ] || ln -sfn "$key" "$roots/current"
  still=$(missing_servers)
  [ -z "$still" ] || die "the private root lacks a server:" "$still" "Remove it and try again: $0 --remove"
  ;;
*)
  die "unknown argument: $1" "usage: prepare.sh [--root | --remove]"
  ;;
esac
