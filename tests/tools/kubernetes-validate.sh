#!/bin/bash
# Gets kubernetes-validate, which holds the schemas of Kubernetes 1.25 to 1.37, from the package index and prints its path.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" kubernetes-validate
hash=$(sha256sum "$here/kubernetes-validate.txt" | cut -c1-16)
out=$cache/kubernetes-validate-$hash
lock
if [ ! -e "$out/whole" ]; then
  "$here/../setup.sh" chart >&2
  # A virtual environment can't be moved, so it is made in its place and marked once it is whole.
  /usr/bin/python3 -m venv --clear "$out" >&2
  "$out/bin/pip" install -q --disable-pip-version-check --require-hashes --only-binary :all: \
    -r "$here/kubernetes-validate.txt" >&2
  touch "$out/whole"
fi
echo "$out/bin/kubernetes-validate"
