#!/bin/bash
# Installs, by name and only where missing, the Debian packages that the tests need.
#
#   setup.sh [SET ...]     without a name: all of the sets below but kube, which only make test-helm needs
#
# No package's daemon is started: a policy-rc.d forbids it while apt works.
set -euo pipefail
say() { printf 'setup: %s\n' "$*" >&2; }

declare -A packages=(
  [build]='gcc libc6-dev make git zstd'
  [chart]='python3 python3-venv ca-certificates'
  [clock]='libfaketime'
  [docker]='docker.io docker-compose slirp4netns iproute2 mmdebstrap ca-certificates python3-venv binutils'
  [haproxy]='haproxy openssl'
  [kube]='gcc libc6-dev dnsmasq-base etcd-server containerd runc containernetworking-plugins ipset iptables iproute2 openssl python3 python3-venv
    ca-certificates util-linux'
  [mesos]='gcc g++ libc6-dev binutils python3 python3-venv ca-certificates libapr1 libsvn1 libsasl2-2 libsasl2-modules libcurl4
    libssl3 zlib1g util-linux'
  [pages]='curl iproute2 openssl util-linux'
  [package]='binutils ca-certificates dpkg-dev fish lintian man-db python3-venv systemd zsh'
  [prometheus]='prometheus prometheus-alertmanager'
  [zookeeper]='default-jre-headless zookeeper'
)

if [ $# = 0 ]; then
  for set in "${!packages[@]}"; do
    [ "$set" = kube ] || set -- "$@" "$set"
  done
fi
missing=()
for set in "$@"; do
  if [ -z "${packages[$set]-}" ]; then
    say "no such set of packages: $set (there are ${!packages[*]})"
    exit 64
  fi
  for p in ${packages[$set]}; do
    dpkg-query -W -f='${Status}' "$p" 2> /dev/null | grep -q ' ok installed' || missing+=("$p")
  done
done
[ ${#missing[@]} -gt 0 ] || exit 0
# Sets share packages; each is named once.
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

if [ "$(id -u)" != 0 ]; then
  say "these packages are missing and only root can install them: ${missing[*]}"
  say "run: sudo apt-get install ${missing[*]}"
  exit 1
fi

exec 8> /var/lock/epic-setup.lock
flock 8
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' > "$policy"
  chmod 755 "$policy"
  trap 'rm -f "$policy"' EXIT
fi
say "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } > "$log" 2>&1; then
  cat "$log" >&2
  rm -f "$log"
  say "cannot install ${missing[*]}"
  exit 1
fi
rm -f "$log"
