#!/bin/bash
# Makes the secrets of docker/compose.yaml in a folder, each of them once: secrets.sh [FOLDER]
#
# Compose mounts these files as they are, so they belong to the user in the images, and making them needs root.
set -euo pipefail
cd "$(dirname "$0")"
folder=${1:-secrets}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
put() { # name; its content is on stdin
  [ -e "$folder/$1" ] || { cat > "$folder/.$1"; chown 65532:65532 "$folder/.$1"; mv "$folder/.$1" "$folder/$1"; }
}

umask 077
mkdir -p "$folder"
# Whoever may use Docker may read them anyway.
chmod 755 "$folder"
random | put token
random | put mesos-secret
printf '{"credentials": [{"principal": "epic", "secret": "%s"}]}' "$(cat "$folder/mesos-secret")" | put mesos-credentials
printf 'epic:%s\n' "$(random)" | put zk-digest
