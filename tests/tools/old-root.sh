#!/bin/bash
# Makes a root file system with nothing in it but the C library of Debian 11 (glibc 2.31), and prints its path.
#
# It is the oldest that Debian's mirrors still hold: older than what any of our build machines links to by itself.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" old-root
name=libc6_2.31-13+deb11u11_amd64.deb
sha256=05f7264da867b37f4c5ce49266b558ea1e81e05a9464f623152fca70f3550282
out=$cache/root-glibc-2.31

lock
if [ ! -e "$out" ]; then
  scratch
  debian "g/glibc/$name" "$sha256"
  mkdir -p "$tmp/root/tmp"
  mv "$tmp/root" "$out"
fi
echo "$out"
