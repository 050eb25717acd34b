#!/bin/bash
# Installs cargo-deb where it isn't yet, and prints the path of its program.
#
#   cargo-deb.sh        progress on stderr
set -euo pipefail
version=3.8.0
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
root=$cache/cargo-deb-$version
if [ ! -x "$root/bin/cargo-deb" ]; then
  mkdir -p "$cache"
  exec 9> "$cache/cargo-deb.lock"
  flock 9
  if [ ! -x "$root/bin/cargo-deb" ]; then
    echo "cargo-deb: building $version, which takes a minute or two" >&2
    tmp=$(mktemp -d "$cache/.cargo-deb-XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    # Elsewhere than in a project's target, whose features and lock files are others.
    CARGO_TARGET_DIR=$tmp/target cargo install --quiet --locked --version "=$version" --root "$tmp/root" cargo-deb >&2
    rm -rf "$root"
    mv "$tmp/root" "$root"
  fi
fi
echo "$root/bin/cargo-deb"
