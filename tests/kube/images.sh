#!/bin/bash
# Builds the product's images and writes them as files, scheduler.tar and cli.tar; prints the folder that they are in.
#
#   images.sh [PROFILE]     as docker/build.sh; by default dev, which takes less time
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}
out=$cache/images
mkdir -p "$out"

save() {
  tests/tools/base-images.sh
  docker/build.sh "${1:-dev}"
  local version
  version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
  for image in scheduler cli; do
    docker save --output "$out/$image.tar.new" "epic-mesos/$image:$version"
    mv "$out/$image.tar.new" "$out/$image.tar"
  done
}

if [ "${1:-}" = save ]; then
  save "${2:-dev}" >&2
else
  tests/tools/docker-engine.sh with "$PWD/tests/kube/images.sh" save "${1:-dev}" >&2
  echo "$out"
fi
