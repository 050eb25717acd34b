#!/bin/bash
# Gets one wheel from the package index, as pip is configured, and puts it into a folder; its content is checked.
#
#   wheel.sh NAME VERSION SHA256 FOLDER
set -euo pipefail
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
[ $# = 4 ] || { echo "usage: wheel.sh NAME VERSION SHA256 FOLDER" >&2; exit 64; }

"$(dirname "${BASH_SOURCE[0]}")/../setup.sh" chart >&2
mkdir -p "$cache"
pip=$cache/pip/bin/pip
(
  flock 9
  # A folder that was begun and not finished has no such file.
  [ -e "$cache/pip/whole" ] || { /usr/bin/python3 -m venv --clear "$cache/pip" && touch "$cache/pip/whole"; }
) 9> "$cache/pip.lock"

printf '%s==%s --hash=sha256:%s\n' "$1" "$2" "$3" > "$4/requirements.txt"
"$pip" download -q --disable-pip-version-check --no-deps --require-hashes -r "$4/requirements.txt" -d "$4" >&2
