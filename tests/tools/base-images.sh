#!/bin/bash
# Makes the base images that the Dockerfiles name, where the engine that DOCKER_HOST names has none of that name.
#
#   base-images.sh [debian] [rust]     without a name: both
#
# With EPIC_PULL=1 they are pulled. Else they are made of Debian's packages and of this machine's Rust, with what the
# machine itself needs to reach package indexes (certificates, the configuration of cargo, pip and apt): an image that
# is meant for use, and so its Dockerfile, knows nothing of that.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$(dirname "${BASH_SOURCE[0]}")/cache.sh" base-images
debian=debian:bookworm-slim
rust=rust:1.95-bookworm
# Whether there is such an image, and not one that this script would make otherwise today.
mine=$({ cat "${BASH_SOURCE[0]}"; rustc --version; } | sha256sum | cut -c1-16)
has() {
  local made
  made=$(docker image inspect --format '{{index .Config.Labels "epic-mesos.stand-in"}}' "$1" 2> /dev/null) || return 1
  [ -z "$made" ] || [ "$made" = "$mine" ]
}

# Gets an image from a registry, if that is wanted.
pulled() { [ "${EPIC_PULL:-}" = 1 ] && docker pull --quiet "$1" >&2; }

# What this machine adds to Debian's own to reach package indexes, as a folder that looks like a root.
outside() { # folder
  mkdir -p "$1/etc/ssl/certs" "$1/etc/apt/apt.conf.d" "$1/etc/dpkg/dpkg.cfg.d" "$1/usr/local/cargo"
  cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
  apt-config dump | { grep -iE '^Acquire::https?::Proxy' || true; } > "$1/etc/apt/apt.conf.d/90outside"
  printf '%s\n' force-unsafe-io 'path-exclude=/usr/share/doc/*' 'path-exclude=/usr/share/locale/*' \
    > "$1/etc/dpkg/dpkg.cfg.d/90fast"
  local home=${CARGO_HOME:-$HOME/.cargo} file
  for file in config config.toml; do
    if [ -e "$home/$file" ]; then cp "$home/$file" "$1/usr/local/cargo/"; fi
  done
  for file in /etc/pip.conf "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
    if [ -e "$file" ]; then cp "$file" "$1/etc/pip.conf"; fi
  done
}

# What this machine's environment tells programs that reach package indexes.
settings() {
  local name bundle=/etc/ssl/certs/ca-certificates.crt
  echo "ENV REQUESTS_CA_BUNDLE=$bundle PIP_CERT=$bundle"
  for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_DEFAULT_TIMEOUT {HTTP,HTTPS,NO}_PROXY {http,https,no}_proxy; do
    [ -z "${!name:-}" ] || echo "ENV $name=${!name}"
  done
}

make_debian() {
  local mirror
  mirror=$(apt-cache policy base-files | awk '/ (http|https|file|copy):.* bookworm\/main /{ print $2; exit }')
  # Nobody needs it to survive a loss of power.
  # shellcheck disable=SC2016
  mmdebstrap --quiet --variant=minbase --include=ca-certificates --aptopt='Acquire::Languages "none"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --essential-hook='mkdir -p "$1/usr/share/man/man1"' \
    bookworm "$tmp/debian.tar" "${mirror:-http://deb.debian.org/debian}" >&2
  outside "$tmp/outside"
  docker build --quiet --label "epic-mesos.stand-in=$mine" --tag "$debian" --file - "$tmp" >&2 << END
FROM scratch
ADD debian.tar /
COPY outside/ /
$(settings)
CMD ["bash"]
END
}

make_rust() {
  local sysroot
  sysroot=$(rustc --print sysroot) || fail "Rust is missing"
  rustc --version | grep -q '^rustc 1\.95\.' || say "$rust is made of $(rustc --version)"
  mkdir -p "$tmp"/rust/{bin,lib/rustlib}
  cp -a "$sysroot"/bin/{cargo,rustc} "$tmp/rust/bin/"
  cp -a "$sysroot"/lib/*.so* "$tmp/rust/lib/"
  cp -a "$sysroot/lib/rustlib/x86_64-unknown-linux-gnu" "$tmp/rust/lib/rustlib/"
  docker build --quiet --label "epic-mesos.stand-in=$mine" --tag "$rust" --file - "$tmp" >&2 << END
FROM $debian
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends gcc libc6-dev make git python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY rust/ /usr/local/rust/
ENV CARGO_HOME=/usr/local/cargo PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
END
}

[ $# -gt 0 ] || set -- debian rust
# The second is made of the first.
[ "$*" != rust ] || set -- debian rust
lock
scratch
for name in "$@"; do
  case $name in
    debian | rust) image=${!name} ;;
    *) fail "no such base image: $name (there are debian and rust)" ;;
  esac
  has "$image" || pulled "$image" || { say "making $image"; "make_$name"; }
done
