#!/bin/bash
# Succeeds once the server is a part of the ensemble: before, it answers without a mode.
set -euo pipefail
exec 3<> /dev/tcp/127.0.0.1/2181
echo srvr >&3
grep -q '^Mode: ' <&3
