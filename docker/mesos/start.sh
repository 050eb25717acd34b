#!/bin/bash
# Becomes a Mesos master or agent: start.sh master|agent. Mesos' own options are variables, MESOS_...
set -euo pipefail
name=$(hostname)
MESOS_IP=$(getent ahostsv4 "$name" | awk 'NR == 1 { print $1 }')
export MESOS_IP MESOS_HOSTNAME=$name MESOS_WORK_DIR=/var/lib/mesos MESOS_LAUNCHER_DIR=/opt/mesos/libexec
case ${1:-} in
  master)
    export MESOS_PORT=5050
    exec /opt/mesos/bin/mesos-master
    ;;
  agent)
    export MESOS_PORT=5051 MESOS_RUNTIME_DIR=/run/mesos MESOS_SYSTEMD_ENABLE_SUPPORT=false
    # The agent makes it with its first task; healthy.sh tells an agent by it before that.
    mkdir -p /run/mesos
    # Control groups of version 1 are remounted so that this container's own is their root, and can be written.
    if grep -q '^[0-9]*:memory:' /proc/self/cgroup; then
      export MESOS_LAUNCHER=linux MESOS_ISOLATION=cgroups/cpu,cgroups/mem MESOS_CGROUPS_ENABLE_CFS=true MESOS_CGROUPS_ROOT=mesos
      exec unshare --cgroup --mount /usr/local/bin/confined.sh /opt/mesos/bin/mesos-agent
    fi
    echo "there are no control groups of version 1, the only ones that Mesos knows; tasks are not confined" >&2
    export MESOS_LAUNCHER=posix MESOS_ISOLATION=posix/cpu,posix/mem
    exec /opt/mesos/bin/mesos-agent
    ;;
  *)
    echo "usage: start.sh master|agent" >&2
    exit 64
    ;;
esac
