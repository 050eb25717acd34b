#!/bin/bash
# Packs a folder as a container image, without any engine.
#
#   image.sh FOLDER NAME:TAG PROGRAM > IMAGE.tar      PROGRAM is its entry point; the format is that of `docker save`
set -euo pipefail
[ $# = 3 ] || { echo 'usage: image.sh FOLDER NAME:TAG PROGRAM > IMAGE.tar' >&2; exit 64; }
folder=$1 name=$2 program=$3

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
tar -C "$folder" --owner=0 --group=0 --mtime=@0 --sort=name -cf "$tmp/layer.tar" .
layer=$(sha256sum < "$tmp/layer.tar" | cut -d' ' -f1)
printf '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["%s"],"User":"65532"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
  "$program" "$layer" > "$tmp/config.json"
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" > "$tmp/manifest.json"
tar -C "$tmp" -cf - manifest.json config.json layer.tar
