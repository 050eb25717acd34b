#!/bin/bash
# Writes a ZooKeeper server's files from the environment and becomes the server.
#
#   ZOO_MY_ID     its number among ZOO_SERVERS
#   ZOO_SERVERS   all servers: "server.1=zoo1:2888:3888;2181 server.2=..."
set -euo pipefail
cd /data
echo "${ZOO_MY_ID:?which server is this?}" > myid
{
  # A session lasts 2 to 20 ticks.
  printf '%s\n' dataDir=/data "tickTime=${ZOO_TICK_TIME:-500}" initLimit=20 syncLimit=10 admin.enableServer=false \
    4lw.commands.whitelist=srvr maxSessionTimeout=60000 autopurge.purgeInterval=1 standaloneEnabled=false
  tr ' ' '\n' <<< "${ZOO_SERVERS:?which servers are there?}"
} > zoo.cfg
# With all of the folder's jars on the class path the loggers call each other for ever. A name that can't be found
# now may be found later: a server that was cut off comes back under another address.
exec java "-Xmx${ZOO_HEAP_MIB:-96}m" -XX:+UseSerialGC -Dzookeeper.cnxTimeout=500 -Dsun.net.inetaddr.ttl=1 \
  -Dsun.net.inetaddr.negative.ttl=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar \
  org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg
