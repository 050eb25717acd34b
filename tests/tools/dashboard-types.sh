#!/bin/bash
# Compares a dashboard with Grafana's own types.
#
#   dashboard-types.sh DASHBOARD.json
#
# Types and compiler come from npm, by the versions and digests of grafana-types/package-lock.json, into
# ~/.cache/epic-mesos (or $EPIC_CACHE_DIR).
set -euo pipefail
dashboard=$(realpath "${1:?say which dashboard}")
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" grafana-types
cd "$(dirname "${BASH_SOURCE[0]}")/grafana-types"

command -v npm > /dev/null || fail "npm is missing: install Node.js 18 or later with it, such as by apt-get install npm"
wanted=$(sha256sum package.json package-lock.json | sha256sum)
types=$cache/grafana-types-${wanted:0:16}
lock
if [ ! -e "$types/ready" ]; then
  rm -rf "$types"
  mkdir "$types"
  cp package.json package-lock.json "$types"
  npm ci --prefix "$types" --ignore-scripts --no-audit --no-fund --silent >&2
  touch "$types/ready"
fi
flock -u 9

scratch=$(mktemp -d "$types/check.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
node literal.js "$dashboard" > "$scratch/dashboard.ts"
node "$types/node_modules/typescript/bin/tsc" --noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext \
  --target es2022 "$scratch/dashboard.ts"
echo "$dashboard is as Grafana's types want it"
