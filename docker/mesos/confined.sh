#!/bin/bash
# Mounts this cgroup namespace's hierarchies and becomes a program that confines others with them: confined.sh PROGRAM [WORD...]
set -euo pipefail
# Mesos finds hierarchies by their mounts, and would be led astray by those below ours.
umount --recursive /sys/fs/cgroup
mount -t tmpfs -o mode=755 cgroups /sys/fs/cgroup
while IFS=: read -r _ controllers _; do
  # Named ones have no limits, and version 2 has no name at all.
  case $controllers in '' | name=*) continue ;; esac
  mkdir -p "/sys/fs/cgroup/$controllers"
  mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
  # Mesos asks for each controller by its own name.
  for controller in ${controllers//,/ }; do
    [ -e "/sys/fs/cgroup/$controller" ] || ln -s "$controllers" "/sys/fs/cgroup/$controller"
  done
done < /proc/self/cgroup
exec "$@"
