#!/bin/bash
# What scripts have in common that make something once and keep it; sourced by them with the name of what they make.
#
#   . cache.sh NAME     sets $cache, and gives them say, fail, lock, scratch and debian
set -euo pipefail
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
made=$1
say() { printf '%s: %s\n' "$made" "$*" >&2; }
fail() { say "$*"; exit 1; }

# Lets one process at a time make it, until this one ends.
lock() {
  mkdir -p "$cache"
  exec 9> "$cache/$made.lock"
  flock -n 9 || { say "it is being made; waiting"; flock 9; }
}

# Makes the folder $tmp, which goes with this process, in the file system of what is kept.
scratch() {
  tmp=$(mktemp -d "$cache/.$made-XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
}

# Gets a package from Debian's mirror, whatever its release, and unpacks it into $tmp/root.
debian() { # path below pool/main, sha256
  local mirror
  mirror=$(apt-cache policy base-files | awk '/ (http|https|file|copy):.* bookworm\/main /{ print $2; exit }')
  /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
    "${mirror:-http://deb.debian.org/debian}/pool/main/$1" "$tmp/package.deb" "SHA256:$2" >&2 || fail "cannot get ${1##*/}"
  dpkg-deb -x "$tmp/package.deb" "$tmp/root"
}
