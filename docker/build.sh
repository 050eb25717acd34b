#!/bin/bash
# Builds the images epic-mesos/scheduler and epic-mesos/cli, tagged with the version in Cargo.toml.
#
#   build.sh [--demo] [PROFILE]     PROFILE is release, or dev, which takes less time and makes larger images;
#                                   --demo builds the other images of docker/compose.yaml as well
#
# Needs an engine with BuildKit (DOCKER_HOST). SOURCE is where these sources are published, for a label.
set -euo pipefail
cd "$(dirname "$0")/.."
demo=
if [ "${1:-}" = --demo ]; then
  demo=yes
  shift
fi
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
revision=$(git -c "safe.directory=$PWD" rev-parse HEAD 2> /dev/null || echo unknown)
# When the sources were committed: the same sources make the same labels.
created=$(date -u -d "@$(git -c "safe.directory=$PWD" log -1 --format=%ct 2> /dev/null || date +%s)" +%Y-%m-%dT%H:%M:%SZ)
export DOCKER_BUILDKIT=1
for stage in scheduler cli; do
  docker build --file docker/Dockerfile --target "$stage" --tag "epic-mesos/$stage:$version" \
    --build-arg "PROFILE=${1:-release}" --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
    --build-arg "CREATED=$created" --build-arg "SOURCE=${SOURCE:-}" .
done
[ -n "$demo" ] || exit 0
docker build --file docker/zookeeper/Dockerfile --tag epic-mesos/zookeeper:3.8 docker/zookeeper
docker build --file docker/mesos/Dockerfile --tag epic-mesos/mesos:1.11.0 .
