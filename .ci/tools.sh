#!/usr/bin/env bash
# Installs the tools that `make lint` needs and the toolchain does not bring, once per version.
set -euo pipefail

tools=${XDG_CACHE_HOME:-$HOME/.cache}/hyperhash/tools

# $1 crate, $2 version, $3 the binary
crate() {
  local have
  have=$("$tools/bin/$3" --version 2>/dev/null | awk '{ print $2 }') || have=
  [[ $have == "$2" ]] && return
  echo "tools: installing $1 $2" >&2
  CARGO_TARGET_DIR=$tools/build cargo install --quiet --locked --root "$tools" "$1@$2"
  rm -rf "$tools/build"
}

mkdir -p "$tools"
exec 9>"$tools/lock"
flock 9
crate cargo-deny 0.20.2 cargo-deny
crate typos-cli 1.52.0 typos
if ! command -v shellcheck >/dev/null; then
  echo "tools: installing shellcheck" >&2
  apt-get install -y -qq --no-install-recommends shellcheck >/dev/null ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends shellcheck >/dev/null; }
fi
