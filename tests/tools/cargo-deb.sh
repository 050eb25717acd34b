#!/bin/bash
# Installs cargo-deb where it isn't yet, and prints the path of its program.
#
#   cargo-deb.sh        progress on stderr
set -euo pipefail
version=3.8.0
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" cargo-deb
root=$cache/cargo-deb-$version
lock
if [ ! -x "$root/bin/cargo-deb" ]; then
  say "building $version, which takes a minute or two"
  scratch
  # Elsewhere than in a project's target, whose features and lock files are others.
  CARGO_TARGET_DIR=$tmp/target cargo install --quiet --locked --version "=$version" --root "$tmp/root" cargo-deb >&2
  rm -rf "$root"
  mv "$tmp/root" "$root"
fi
echo "$root/bin/cargo-deb"
