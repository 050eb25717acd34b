#!/bin/bash
# Mounts this cgroup namespace's hierarchies and becomes a Mesos agent that confines its tasks with them.
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
export MESOS_LAUNCHER=linux MESOS_ISOLATION=cgroups/cpu,cgroups/mem MESOS_CGROUPS_ENABLE_CFS=true MESOS_CGROUPS_ROOT=mesos
exec /opt/mesos/bin/mesos-agent
