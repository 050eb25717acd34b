#!/bin/bash
# Gets one wheel from the package index, as pip is configured, and puts it into a folder; its content is checked.
#
#   wheel.sh NAME VERSION SHA256 FOLDER
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" pip
[ $# = 4 ] || { echo "usage: wheel.sh NAME VERSION SHA256 FOLDER" >&2; exit 64; }

"$(dirname "${BASH_SOURCE[0]}")/../setup.sh" chart >&2
pip=$cache/pip/bin/pip
(
  lock
  # A folder that was begun and not finished has no such file.
  [ -e "$cache/pip/whole" ] || { /usr/bin/python3 -m venv --clear "$cache/pip" >&2 && touch "$cache/pip/whole"; }
)

printf '%s==%s --hash=sha256:%s\n' "$1" "$2" "$3" > "$4/requirements.txt"
"$pip" download -q --disable-pip-version-check --no-deps --require-hashes -r "$4/requirements.txt" -d "$4" >&2
