#!/bin/bash
# Makes the Debian package of programs that are built, and prints its path.
#
#   build.sh PROGRAMS OUT [VERSION]     PROGRAMS: a folder such as target/release; OUT: the package's folder
#
# EPIC_EXECUTOR names another executor than PROGRAMS/epic-executor: agents may be older than the machine that builds.
# EPIC_DEB_FAST=1 compresses less, for tests. What the package holds is first laid out in dist/deb.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
[ $# -ge 2 ] || { echo "usage: build.sh PROGRAMS OUT [VERSION]" >&2; exit 64; }
programs=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
version=${3:-$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml")}
executor=${EPIC_EXECUTOR:-$programs/epic-executor}
for program in "$programs/epic-scheduler" "$programs/epicctl" "$executor"; do
  [ -x "$program" ] || { echo "build.sh: there is no program $program; build it first" >&2; exit 66; }
done
cargo_deb=$("$root/tests/tools/cargo-deb.sh")

mkdir -p "$root/dist"
exec 9> "$root/dist/.deb.lock"
flock 9
stage=$root/dist/deb
rm -rf "$stage"
share=$stage/usr/share
doc=$share/doc/epic-mesos-scheduler
install -d "$stage"/usr/bin "$stage"/usr/lib/epic "$share"/man/man{1,8} "$share"/bash-completion/completions \
  "$share"/zsh/vendor-completions "$share"/fish/vendor_completions.d "$doc"
strip --strip-unneeded -o "$stage/usr/bin/epic-scheduler" "$programs/epic-scheduler"
strip --strip-unneeded -o "$stage/usr/bin/epicctl" "$programs/epicctl"
strip --strip-unneeded -o "$stage/usr/lib/epic/epic-executor" "$executor"

"$programs/epic-scheduler" man "$share/man/man8"
"$programs/epicctl" man "$share/man/man1"
gzip -9n "$share"/man/man*/*
for program in epic-scheduler epicctl; do
  "$programs/$program" completions bash > "$share/bash-completion/completions/$program"
  "$programs/$program" completions zsh > "$share/zsh/vendor-completions/_$program"
  "$programs/$program" completions fish > "$share/fish/vendor_completions.d/$program.fish"
done
sed "1s/(.*)/($version)/" "$here/changelog" | gzip -9n > "$doc/changelog.gz"
(cd "$root" && scheduler/licences.py epic-scheduler epic-executor epic-cli) > "$stage/linked-crates.txt"
gzip -9n < "$stage/linked-crates.txt" > "$doc/linked-crates.txt.gz"
gzip -9n < "$root/CHANGELOG.md" > "$doc/CHANGELOG.md.gz"

# The time of the last change, so that the same tree gives the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(date -d "$(sed -n 's/^ -- .*>  //p' "$here/changelog")" +%s)}
export SOURCE_DATE_EPOCH
cd "$root"
"$cargo_deb" --quiet --package epic-scheduler --no-build --no-strip --no-dbgsym --locked --deb-version "$version" \
  --output "$out/" ${EPIC_DEB_FAST:+--fast}
