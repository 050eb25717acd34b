#!/bin/sh
# EPIC bundle @DISTRO@ @VERSION@: this script, a tar.zst payload, a YAML manifest and a trailer follow each other.
# The trailer is the last 192 bytes: the lengths of the parts, then the sha256 of all that is before it.
set -euf
LC_ALL=C
export LC_ALL
self=$0
distro='@DISTRO@'
version='@VERSION@'
part=

usage() {
    cat <<END
EPIC bundle $distro $version

usage: sh $self --help             show this text
       sh $self --meta             print the manifest
       sh $self --verify           check this file
       sh $self --payload DIR      check this file, then unpack its payload into DIR
       sh $self --install          the same into \$EPIC_INSTALL_DIR, by default
                                   $(default_dir)

DIR must be empty or not exist. sha256sum of this file is the bundle's identity.
END
}

die() {
    printf '%s: %s\n' "$self" "$1" >&2
    exit 1
}

need() {
    missing=
    for tool in "$@"; do
        command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
    done
    [ -z "$missing" ] || die "these programs are needed and not installed:$missing"
}

default_dir() {
    printf '/opt/epic/%s-%s\n' "$(printf '%s' "$distro" | tr / -)" "$version"
}

read_trailer() {
    need tail head wc tr
    size=$(wc -c <"$self" | tr -d ' ')
    # shellcheck disable=SC2046
    set -- $(tail -c 192 "$self" | head -c 128 | tr -d '\000')
    [ $# -eq 6 ] && [ "$1 $2" = 'EPIC-BUNDLE 1' ] || die 'is truncated or damaged: its trailer is missing'
    case $3$4$5 in *[!0-9]*) die 'is damaged: its trailer cannot be read' ;; esac
    stub_bytes=$3 payload_bytes=$4 manifest_bytes=$5
    [ $((stub_bytes + payload_bytes + manifest_bytes + 192)) -eq "$size" ] ||
        die "is truncated or damaged: it has $size bytes, its trailer speaks of $((stub_bytes + payload_bytes + manifest_bytes + 192))"
}

meta() {
    read_trailer
    tail -c +$((stub_bytes + payload_bytes + 1)) "$self" | head -c "$manifest_bytes"
}

verify() {
    read_trailer
    need sha256sum
    expected=$(tail -c 64 "$self")
    actual=$(head -c $((size - 64)) "$self" | sha256sum)
    actual=${actual%% *}
    [ "$actual" = "$expected" ] || die "has a wrong sha256 in its trailer: expected $expected, found $actual"
}

clean() {
    [ -z "$part" ] || rm -rf "$part"
}

unpack() {
    case $1 in /*) dir=$1 ;; *) dir=$PWD/$1 ;; esac
    need sha256sum zstd tar mkdir mv rmdir chmod ls rm
    [ ! -e "$dir" ] || { [ -d "$dir" ] && [ -z "$(ls -A "$dir")" ]; } || die "$dir is not an empty directory"
    verify
    umask 022
    mkdir -p "$dir"
    rmdir "$dir"
    mkdir "$dir.part" || die "remove $dir.part first"
    part=$dir.part
    trap clean EXIT
    trap 'exit 1' HUP INT TERM
    tail -c +$((stub_bytes + 1)) "$self" | head -c "$payload_bytes" | zstd -q -d -c |
        tar -x -p -m --no-same-owner -C "$part" -f - || die 'cannot unpack the payload'
    digest=$(sha256sum <"$self")
    printf '%s\n' "${digest%% *}" >"$part/.epic-bundle"
    mv "$part" "$dir"
    part=
    printf 'installed %s %s into %s\n' "$distro" "$version" "$dir"
}

case ${1-} in
    --help | -h) usage ;;
    --meta) meta ;;
    --verify)
        verify
        printf '%s: ok\n' "$self"
        ;;
    --payload)
        [ $# -eq 2 ] && [ -n "$2" ] || die 'usage: --payload DIR'
        unpack "$2"
        ;;
    --install) unpack "${EPIC_INSTALL_DIR:-$(default_dir)}" ;;
    *)
        usage >&2
        exit 2
        ;;
esac
exit 0
