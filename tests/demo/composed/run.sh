#!/bin/bash
# Builds the images and runs the demo of docker/compose.yaml: run.sh [--check] EPIC_DEMO BUNDLE
#
# With --check it runs once with each version of Compose that the file is meant for, or with the one that COMPOSE names.
set -euo pipefail
cd "$(dirname "$0")/../../.."
if [ -z "${DOCKER_HOST:-}" ] && [ -z "${EPIC_DOCKER_ADDRESS:-}" ]; then
  exec tests/tools/docker-engine.sh with "$0" "$@"
fi
check=()
if [ "$1" = --check ]; then
  check=(--check)
  shift
fi
tests/tools/base-images.sh
docker/build.sh --demo "${PROFILE:-dev}"
programs=(docker-compose)
[ ${#check[@]} = 0 ] || programs+=("$(tests/tools/compose.sh)")
[ -z "${COMPOSE:-}" ] || programs=("$COMPOSE")
for program in "${programs[@]}"; do
  COMPOSE=$program "$1" --compose "${check[@]}" "$2"
done
