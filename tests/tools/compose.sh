#!/bin/bash
# Gets Compose 2.26.1 from Debian's next release and prints the path of a program that is used like docker-compose.
# (Debian 12 has 1.29.2, as docker-compose; both must be able to run our files.)
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" compose
name=docker-compose_2.26.1-4_amd64.deb
sha256=47681197cb2b1ab88206b42a1a92fc75f50d9530a6322d03494a473eed0408ea
out=$cache/compose-2.26.1

lock
if [ ! -x "$out/docker-compose" ]; then
  scratch
  debian "d/docker-compose/$name" "$sha256"
  mkdir -p "$out"
  mv "$tmp/root/usr/libexec/docker/cli-plugins/docker-compose" "$out/docker-compose"
fi
echo "$out/docker-compose"
