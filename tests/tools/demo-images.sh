#!/bin/bash
# Makes stand-ins of the images that docker/compose.yaml shows the scheduler with, at the engine that DOCKER_HOST names: of
# this machine's packages and of the Mesos that tests run, in seconds instead of minutes.
#
# docker/build.sh --demo makes the real ones, of the same scripts; each takes the other's place.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}

# The files of packages and of all that they need, as far as they are installed here, for tar.
files() { # package...
  apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances "$@" | grep '^[a-z0-9]' | sort -u |
    while read -r package; do dpkg-query --listfiles "$package" 2> /dev/null || true; done |
    sed -E 's#^/(bin|sbin|lib|lib64)/#/usr/\1/#' | grep -E '^/(usr|etc)/' |
    grep -vE '^/usr/share/(doc|locale|man|icons|lintian)/' | sort -u |
    while read -r path; do if [ -L "$path" ] || [ -f "$path" ]; then echo "${path#/}"; fi; done
}

make() { # image, folder of its Dockerfile; what else it needs is in $tmp/own, and the names of files on stdin
  tar --create --directory / --files-from - --file "$tmp/files.tar"
  cp "$root/$2"/*.sh "$tmp"
  {
    printf '%s\n' 'FROM debian:bookworm-slim' 'ADD files.tar /' 'COPY own /' 'COPY *.sh /usr/local/bin/' \
      'RUN install -d -o 65532 -g 65532 /data'
    # How it is run is as in the real one, where that stands behind all that it is made of.
    tac "$root/$2/Dockerfile" | sed '/^\(COPY\|RUN\)/,$d' | tac
  } > "$tmp/Dockerfile"
  docker build --quiet --label "epic-mesos.stand-in=$mine" --tag "$1" "$tmp" >&2
}

has() { [ "$(docker image inspect --format '{{index .Config.Labels "epic-mesos.stand-in"}}' "$1" 2> /dev/null)" = "$mine" ]; }

zookeeper=epic-mesos/zookeeper:3.8
mesos=epic-mesos/mesos:1.11.0
"$root/tests/setup.sh" mesos zookeeper >&2
kit=$("$root/tests/mesos/build.sh" | tail -n 1)
mine=$({ cat "${BASH_SOURCE[0]}" "$root"/docker/{mesos,zookeeper}/*; echo "$kit"; } | sha256sum | cut -c1-16)
exec 6> "$cache/demo-images.lock"
flock 6
if has "$zookeeper" && has "$mesos"; then exit; fi
tmp=$(mktemp -d "$cache/.demo-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/own"
{
  files default-jre-headless libzookeeper-java libslf4j-java
  echo usr/bin/java
  echo etc/alternatives/java
} | make "$zookeeper" docker/zookeeper
mkdir -p "$tmp/own/opt"
cp -r "$kit" "$tmp/own/opt/mesos"
files python3 ca-certificates libapr1 libsvn1 libsasl2-2 libsasl2-modules libcurl4 libssl3 zlib1g util-linux |
  make "$mesos" docker/mesos
