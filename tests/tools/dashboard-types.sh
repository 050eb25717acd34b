#!/bin/bash
# Compares a dashboard with Grafana's own types.
#
#   dashboard-types.sh DASHBOARD.json
#
# Types and compiler come from npm, by the versions and digests of grafana-types/package-lock.json, into
# ~/.cache/epic-mesos (or $EPIC_CACHE_DIR).
set -euo pipefail
dashboard=$(realpath "${1:?say which dashboard}")
cd "$(dirname "$0")/grafana-types"
say() { printf 'dashboard-types: %s\n' "$*" >&2; }

command -v npm > /dev/null || { say "npm is missing: install Node.js 18 or later with it, such as by apt-get install npm"; exit 1; }
lock=$(sha256sum package.json package-lock.json | sha256sum)
cache=${EPIC_CACHE_DIR:-$HOME/.cache/epic-mesos}
types=$cache/grafana-types-${lock:0:16}
mkdir -p "$cache"
exec 8> "$types.lock"
flock 8
if [ ! -e "$types/ready" ]; then
  rm -rf "$types"
  mkdir "$types"
  cp package.json package-lock.json "$types"
  npm ci --prefix "$types" --ignore-scripts --no-audit --no-fund --silent >&2
  touch "$types/ready"
fi
flock -u 8

scratch=$(mktemp -d "$types/check.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
node literal.js "$dashboard" > "$scratch/dashboard.ts"
node "$types/node_modules/typescript/bin/tsc" --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext \
  --target es2022 "$scratch/dashboard.ts"
echo "$dashboard is as Grafana's types want it"
