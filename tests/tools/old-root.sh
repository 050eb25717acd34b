#!/bin/bash
# Makes a root file system with nothing in it but the C library of Debian 11 (glibc 2.31), and prints its path.
#
# It is the oldest that Debian's mirrors still hold: older than what any of our build machines links to by itself.
set -euo pipefail
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
name=libc6_2.31-13+deb11u11_amd64.deb
sha256=05f7264da867b37f4c5ce49266b558ea1e81e05a9464f623152fca70f3550282
out=$cache/root-glibc-2.31
fail() { printf 'old root: %s\n' "$*" >&2; exit 1; }

mkdir -p "$cache"
exec 9> "$cache/old-root.lock"
flock 9
if [ ! -e "$out" ]; then
  mirror=$(apt-cache policy base-files | awk '/ (http|https|file|copy):.* bookworm\/main /{ print $2; exit }')
  tmp=$(mktemp -d "$cache/.root-XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
    "${mirror:-http://deb.debian.org/debian}/pool/main/g/glibc/$name" "$tmp/$name" "SHA256:$sha256" >&2 \
    || fail "cannot get $name"
  dpkg-deb -x "$tmp/$name" "$tmp/root"
  mkdir -p "$tmp/root/tmp"
  mv "$tmp/root" "$out"
fi
echo "$out"
