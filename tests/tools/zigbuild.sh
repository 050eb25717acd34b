#!/bin/bash
# Installs cargo-zigbuild, which links programs to an older glibc than this machine's, where it isn't yet, and prints the
# path of its program.
#
#   zigbuild.sh         progress on stderr; docker/zig.txt says which version, with its digests
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" zig
wanted=$here/../../docker/zig.txt
root=$cache/zig-$(sha256sum "$wanted" | cut -c1-16)
lock
if [ ! -e "$root/whole" ]; then
  say "getting what docker/zig.txt names (100 MB)"
  # Programs in there hold its path, so that it is made where it stays, and marked when it is whole.
  /usr/bin/python3 -m venv --clear "$root" >&2
  "$root/bin/pip" install --quiet --only-binary :all: --require-hashes -r "$wanted" >&2
  touch "$root/whole"
fi
echo "$root/bin/cargo-zigbuild"
