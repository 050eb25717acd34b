#!/bin/bash
# Makes the secrets of docker/compose.yaml in a folder, each of them once: secrets.sh [FOLDER]
#
# FOLDER is by default secrets beside this script, where the compose file looks for it.
# Compose mounts these files as they are, so they belong to the user in the images, and making them needs root.
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
put() { # name; its content is on stdin
  # Read in any case: whoever writes to a pipe that nobody reads is killed.
  cat > "$folder/.$1"
  chown 65532:65532 "$folder/.$1"
  mv --no-clobber "$folder/.$1" "$folder/$1"
  rm -f "$folder/.$1"
}

umask 077
mkdir -p "$folder"
# Whoever may use Docker may read them anyway.
chmod 755 "$folder"
random | put token
random | put mesos-secret
printf '{"credentials": [{"principal": "epic", "secret": "%s"}]}' "$(cat "$folder/mesos-secret")" | put mesos-credentials
printf 'epic:%s\n' "$(random)" | put zk-digest
