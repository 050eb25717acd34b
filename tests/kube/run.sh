#!/bin/bash
# Prepares all that needs the network, then runs a program in a network namespace of its own that is outside of a cluster.
#
#   run.sh PROGRAM [WORD...]     PROGRAM is epic-kube; EPIC_IMAGES=FOLDER takes scheduler.tar and cli.tar from there
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -gt 0 ] || { echo 'usage: run.sh PROGRAM [WORD...]' >&2; exit 64; }

"$here/../setup.sh" kube mesos zookeeper
"$here/../mesos/build.sh" > /dev/null
"$here/build.sh" > /dev/null
"$here/../tools/kube-router.sh" > /dev/null
for version in 3 4; do "$here/../tools/helm.sh" "$version" > /dev/null; done
EPIC_IMAGES=${EPIC_IMAGES:-$("$here/images.sh")}
# In there all of 10.0.0.0/8 is local, so that pods reach what has an address of it.
export EPIC_IMAGES EPIC_NETWORK=10
exec unshare --net "$@"
