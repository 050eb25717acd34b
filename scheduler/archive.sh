#!/bin/bash
# Makes the archive from which agents run a scheduler, and prints its path.
#
#   archive.sh PROGRAMS OUT      PROGRAMS holds epic-scheduler, epic-executor and epicctl
#
# The same programs make the same archive. LEVEL=1 to 9 says how hard gzip tries.
set -euo pipefail
[ $# = 2 ] || { echo "usage: archive.sh PROGRAMS OUT" >&2; exit 64; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
programs=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' "$root/Cargo.toml")
name=epic-mesos-$version-$(uname -m).tar.gz
tmp=$(mktemp -d "$out/.archive-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/in"
for program in epic-scheduler epic-executor epicctl; do
  [ -x "$programs/$program" ] || { echo "archive.sh: $programs/$program is missing: build it first" >&2; exit 1; }
  strip -o "$tmp/in/$program" "$programs/$program"
  chmod 755 "$tmp/in/$program"
done
install -m 644 "$root/LICENSE" "$tmp/in/"
(cd "$root" && scheduler/licences.py epic-scheduler epic-executor epic-cli) > "$tmp/in/linked-crates.txt"
tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -C "$tmp/in" -cf - . |
  gzip -n "-${LEVEL:-9}" > "$tmp/$name"
mv "$tmp/$name" "$out/$name"
echo "$out/$name"
