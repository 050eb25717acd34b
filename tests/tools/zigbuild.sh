#!/bin/bash
# Installs cargo-zigbuild, which links programs to an older glibc than this machine's, where it isn't yet, and prints the
# path of its program.
#
#   zigbuild.sh         progress on stderr; docker/zig.txt says which version, with its digests
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
wanted=$here/../../docker/zig.txt
root=$cache/zig-$(sha256sum "$wanted" | cut -c1-16)
if [ ! -e "$root/whole" ]; then
  mkdir -p "$cache"
  exec 9> "$cache/zig.lock"
  flock 9
  if [ ! -e "$root/whole" ]; then
    echo "zigbuild: getting what docker/zig.txt names (100 MB)" >&2
    # Programs in there hold its path, so that it is made where it stays, and marked when it is whole.
    /usr/bin/python3 -m venv --clear "$root" >&2
    "$root/bin/pip" install --quiet --only-binary :all: --require-hashes -r "$wanted" >&2
    touch "$root/whole"
  fi
fi
echo "$root/bin/cargo-zigbuild"
