#!/bin/bash
# Gets Compose 2.26.1 from Debian's next release and prints the path of a program that is used like docker-compose.
# (Debian 12 has 1.29.2, as docker-compose; both must be able to run our files.)
set -euo pipefail
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
name=docker-compose_2.26.1-4_amd64.deb
sha256=47681197cb2b1ab88206b42a1a92fc75f50d9530a6322d03494a473eed0408ea
out=$cache/compose-2.26.1
fail() { printf 'compose: %s\n' "$*" >&2; exit 1; }

mkdir -p "$cache"
exec 9> "$cache/compose.lock"
flock 9
if [ ! -x "$out/docker-compose" ]; then
  mirror=$(apt-cache policy base-files | awk '/ (http|https|file|copy):.* bookworm\/main /{ print $2; exit }')
  tmp=$(mktemp -d "$cache/.compose-XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
    "${mirror:-http://deb.debian.org/debian}/pool/main/d/docker-compose/$name" \
    "$tmp/$name" "SHA256:$sha256" >&2 || fail "cannot get $name"
  dpkg-deb -x "$tmp/$name" "$tmp/root"
  mkdir -p "$out"
  mv "$tmp/root/usr/libexec/docker/cli-plugins/docker-compose" "$out/docker-compose"
fi
echo "$out/docker-compose"
