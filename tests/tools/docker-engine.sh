#!/bin/bash
# Runs a private Docker engine for as long as somebody uses it.
#
#   docker-engine.sh with COMMAND ...   runs a command that finds the engine by DOCKER_HOST
#   docker-engine.sh enter COMMAND ...  the same, in the engine's network, where published ports are at 127.0.0.1
#   docker-engine.sh hold               prints "DOCKER_HOST=..." and others, then waits for the end of its stdin
#   docker-engine.sh stop               ends the engine, whoever uses it
#
# All users of a machine's cache share one engine; the first starts it, and it ends with the last, however that ends.
# It lives in namespaces of its own (processes, mounts, network), so the machine's bridges, routes and packet filters
# stay as they are, another engine may run beside it, and nothing outlives it but images and volumes. These are in
# ${EPIC_CACHE_DIR:-${XDG_CACHE_HOME:-~/.cache}/epic-mesos}/docker. Containers reach the outside through slirp4netns;
# the machine reaches published ports at $EPIC_DOCKER_ADDRESS.
#
# Where EPIC_DOCKER_HOST is set, that engine is used, and nothing is started.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=cache.sh
. "$here/cache.sh" docker-engine
state=$cache/docker
mark=$(printf '%s' "$state" | sha256sum | cut -c1-6)
# Sockets' paths must be short, and what is in here is worth nothing after a restart of the machine.
run=/run/epic-docker-$mark
link=epic$mark
parent=epic-docker-$mark
octet=$((16#${mark:0:2}))
address=198.18.$octet.2

# What a command needs to find the engine.
environment() {
  export DOCKER_HOST=${EPIC_DOCKER_HOST:-unix://$run/docker.sock}
  export EPIC_DOCKER_ADDRESS=$address
  [ -z "${EPIC_DOCKER_HOST:-}" ] || EPIC_DOCKER_ADDRESS=127.0.0.1
  # Nobody's credentials and plugins but our own.
  export DOCKER_CONFIG=$state/client DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
  mkdir -p "$DOCKER_CONFIG"
}

alive() { docker -H "unix://$run/docker.sock" version > /dev/null 2>&1; }

# Holds the engine by descriptor 7 from here to the end of this process.
use() {
  environment
  if [ -n "${EPIC_DOCKER_HOST:-}" ]; then
    docker version > /dev/null || fail "no engine answers at EPIC_DOCKER_HOST=$EPIC_DOCKER_HOST"
    return
  fi
  [ "$(id -u)" = 0 ] || fail "it needs root; or set EPIC_DOCKER_HOST to an engine that runs"
  "$here/../setup.sh" docker >&2
  mkdir -p "$state/bin"
  # Debian's client builds with BuildKit as it is; others need a plugin for that.
  ln -sfn /usr/bin/docker "$state/bin/docker"
  export PATH=$state/bin:$PATH
  exec 7> "$state/users"
  # Waits while an engine that nobody used is being ended.
  flock -s 7
  exec 8> "$state/starting"
  flock 8
  if ! alive; then
    say "starting"
    setsid "${BASH_SOURCE[0]}" keep > "$state/keeper.log" 2>&1 < /dev/null 7>&- 8>&- &
    local keeper=$! end=$((SECONDS + 120))
    until alive; do
      if ! kill -0 "$keeper" 2> /dev/null || [ "$SECONDS" -gt "$end" ]; then
        tail -n 15 "$state"/{keeper,dockerd}.log >&2 || true
        kill -TERM "$keeper" 2> /dev/null || true
        fail "it did not start"
      fi
      sleep 0.1
    done
  fi
  exec 8>&-
}

# Removes what an engine leaves when it is killed with its keeper.
sweep() {
  ip link del "$link" 2> /dev/null || true
  # Twice: a group can be removed only after those in it.
  find /sys/fs/cgroup -mindepth 2 -depth -type d -path "*/$parent*" -exec rmdir {} + 2> /dev/null || true
  rm -rf "$run"
}

# The process that outlives whoever started it: parent of all, and the one that cleans up.
keep() {
  exec 9> "$state/keeper"
  flock 9
  sweep
  mkdir -p "$run" "$state"/{data,client}
  echo $$ > "$state/keeper.pid"
  # If this process is killed, so are its two children, and with the engine's first process all others in there.
  setpriv --pdeathsig KILL unshare --net --mount --pid --fork --kill-child --mount-proc \
    "${BASH_SOURCE[0]}" inside 9>&- &
  local engine=$!
  # shellcheck disable=SC2064
  trap "end $engine" EXIT
  trap 'exit 0' TERM INT HUP
  local first
  until first=$(pgrep -P "$engine" 2> /dev/null) && [ -e "$run/net" ]; do
    kill -0 "$engine" || fail "no namespaces can be made"
    sleep 0.05
  done
  ip link add "$link" type veth peer name host0 netns "$first"
  ip addr add "198.18.$octet.1/30" dev "$link"
  ip link set "$link" up
  nsenter -t "$first" -n ip addr add "$address/30" dev host0
  nsenter -t "$first" -n ip link set host0 up
  setpriv --pdeathsig KILL slirp4netns --configure --mtu=65520 --disable-host-loopback --cidr=198.19.255.0/24 \
    "$first" tap0 9>&- &
  until nsenter -t "$first" -n ip route show default | grep -q tap0; do
    kill -0 $! || fail "there is no way out for its network"
    sleep 0.05
  done
  echo > "$run/connected"
  exec 7> "$state/users"
  flock -x 7 9>&- &
  wait -n "$engine" $! || true
}

# A trap calls it.
# shellcheck disable=SC2317
end() {
  trap '' TERM INT HUP
  local first
  if first=$(pgrep -P "$1" 2> /dev/null); then
    kill -TERM "$first" 2> /dev/null || true
    timeout 20 tail --pid="$first" -f /dev/null || kill -KILL "$1" || true
  fi
  wait "$1" 2> /dev/null || true
  # shellcheck disable=SC2046
  kill $(jobs -p) 2> /dev/null || true
  sweep
  rm -f "$state/keeper.pid"
}

# The first process in the namespaces: reaps, and ends the daemon when it is told to.
inside() {
  exec 7>&- 8>&- 9>&-
  ip link set lo up
  echo > "$run/net"
  until [ -e "$run/connected" ]; do sleep 0.05; done
  echo "nameserver 198.19.255.3" > "$run/resolv.conf"
  mount --bind "$run/resolv.conf" "$(readlink -f /etc/resolv.conf)"
  rm -f "$state"/data/*.pid
  # Build results that nobody has used for longest go first.
  echo '{"builder": {"gc": {"enabled": true, "defaultKeepStorage": "10GB"}}}' > "$run/daemon.json"
  dockerd --config-file "$run/daemon.json" --host "unix://$run/docker.sock" --data-root "$state/data" \
    --exec-root "$run/exec" --pidfile "$run/dockerd.pid" --cgroup-parent "/$parent" --bip 198.18.$octet.129/25 \
    --default-address-pool base=10.213.0.0/16,size=24 --oom-score-adjust 0 --group root \
    > "$state/dockerd.log" 2>&1 &
  local daemon=$!
  trap 'kill -TERM $daemon' TERM
  # A signal ends the first wait, the daemon's end the second.
  wait "$daemon" || wait "$daemon" || true
}

stop() {
  local keeper
  keeper=$(cat "$state/keeper.pid" 2> /dev/null) || return 0
  if tr '\0' ' ' < "/proc/$keeper/cmdline" 2> /dev/null | grep -q "docker-engine.sh keep"; then
    kill -TERM "$keeper"
    timeout 30 tail --pid="$keeper" -f /dev/null || fail "its keeper, process $keeper, does not end"
  else
    sweep
    rm -f "$state/keeper.pid"
  fi
}

# Read as a whole before it runs: it runs for long, and this file may change meanwhile.
{
  case ${1:-} in
    with)
      shift
      use
      [ $# -gt 0 ] || fail "with what command?"
      "$@" 7>&-
      ;;
    enter)
      shift
      # What is typed there may have names that somebody's own containers have, too.
      [ -z "${EPIC_DOCKER_HOST:-}" ] || fail "the engine of EPIC_DOCKER_HOST is not ours to enter; unset it"
      use
      nsenter -t "$(pgrep -P "$(pgrep -P "$(cat "$state/keeper.pid")" -x unshare)")" -n "$@" 7>&-
      ;;
    hold)
      use
      printf '%s=%s\n' PATH "$PATH" DOCKER_HOST "$DOCKER_HOST" DOCKER_CONFIG "$DOCKER_CONFIG" DOCKER_BUILDKIT 1 \
        COMPOSE_DOCKER_CLI_BUILD 1 EPIC_DOCKER_ADDRESS "$EPIC_DOCKER_ADDRESS" ready yes
      cat > /dev/null
      ;;
    stop) stop ;;
    keep) keep ;;
    inside) inside ;;
    *) say "usage: docker-engine.sh with COMMAND ... | enter COMMAND ... | hold | stop"; exit 64 ;;
  esac
  exit
}
