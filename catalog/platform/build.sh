#!/bin/sh
# Makes the reference platform's bundle from Debian's packages: catalog/platform/build.sh EPICCTL DIRECTORY
#
# The packages are unpacked, never installed: installing them would start daemons on all interfaces. They are kept in
# $EPIC_CACHE_DIR (default ~/.cache/epic-mesos) and checked against the sha256 in apt's lists each time.
set -eu

PACKAGES='prometheus prometheus-node-exporter
    fonts-glyphicons-halflings libjs-bootstrap4 libjs-d3 libjs-eonasdan-bootstrap-datetimepicker libjs-jquery
    libjs-jquery-hotkeys libjs-moment libjs-moment-timezone libjs-mustache libjs-popper.js libjs-rickshaw'

die() {
    printf 'build.sh: %s\n' "$1" >&2
    exit 1
}

[ $# -eq 2 ] || die 'usage: build.sh EPICCTL DIRECTORY'
epicctl=$1
out=$2
here=$(cd "$(dirname "$0")" && pwd)
cache=${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/epic-mesos}/debs
version=$(sed -n 's/^version: *//p' "$here/manifest.yaml")

missing=
for tool in apt-get dpkg-deb sha256sum sed grep cp mktemp; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] || die "these programs are needed and not installed (Debian has them all):$missing"

mkdir -p "$cache" "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM

# One line a package: 'URI' FILE SIZE SHA256:DIGEST, from apt's lists alone.
# shellcheck disable=SC2086
uris() {
    apt-get download --print-uris $PACKAGES >"$stage/uris" 2>"$stage/error"
}

if ! uris; then
    echo 'build.sh: getting the lists of Debian packages' >&2
    apt-get -qq update >&2 || die 'apt-get update failed; run it as root, or check the network'
    uris || die "apt does not know the packages: $(head -n 1 "$stage/error")"
fi

fetch() {
    (cd "$cache" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$1" >&2)
}

mkdir -p "$stage/root" "$stage/bundle/payload/bin" "$stage/bundle/payload/share"
payload=$stage/bundle/payload
while read -r _ file _ sum; do
    package=${file%%_*}
    digest=${sum#SHA256:}
    if ! echo "$digest  $cache/$file" | sha256sum --check --status 2>/dev/null; then
        echo "build.sh: getting $package" >&2
        fetch "$package" || die "cannot download $package"
        echo "$digest  $cache/$file" | sha256sum --check --status || die "$cache/$file has a wrong sha256"
    fi
    dpkg-deb -x "$cache/$file" "$stage/root"
    mkdir -p "$payload/share/doc/$package"
    cp -L "$stage/root/usr/share/doc/$package/copyright" "$payload/share/doc/$package/"
    echo "$digest  $file" >>"$payload/share/packages"
done <"$stage/uris"

root=$stage/root/usr
cp "$root/bin/prometheus" "$root/bin/prometheus-node-exporter" "$payload/bin/"
cp -r "$here/payload/." "$payload/"

# Prometheus' pages with just those files that they ask for; most are links into other packages.
web=$root/share/prometheus/web
mkdir -p "$payload/web"
cp -r "$web/templates" "$payload/web/"
{
    grep -rhoE '/classic/static/[A-Za-z0-9./_-]+' "$web/templates" | sed 's|^/classic/||'
    (cd "$web" && find static/css static/js static/img -type f)
    for suffix in eot svg ttf woff woff2; do
        echo "static/vendor/bootstrap4-glyphicons/fonts/glyphicons/glyphicons-halflings-regular.$suffix"
    done
} | sort -u | while read -r file; do
    [ -e "$web/$file" ] || continue
    mkdir -p "$payload/web/$(dirname "$file")"
    cp -L "$web/$file" "$payload/web/$file"
done
for file in jquery/jquery.min.js bootstrap4/css/bootstrap.min.css rickshaw/rickshaw.min.js; do
    [ -e "$payload/web/static/$file" ] || die "the packages have no web/static/$file"
done

cp "$here/manifest.yaml" "$stage/bundle/"
"$epicctl" bundle build "$stage/bundle" -o "$out/epic-platform-$version.bin"
