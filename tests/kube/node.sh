#!/bin/bash
# Runs a node of a Kubernetes, as the first process of namespaces of its own; ends when one of its programs ends.
#
#   unshare --net --mount --pid --fork --kill-child --mount-proc node.sh STATE NUMBER PROGRAMS KUBECTL CGROUP IMAGE.tar...
#
# Node 1 is called "node", and is all that a cluster needs; "node2" and "node3" only take pods, once it is there. Whoever
# starts one gives its network namespace a link "eth0", whose other end has 172.30.255.1, 172.30.254.1 or 172.30.253.1. The
# file STATE/ready, or STATE/nodeN/ready, is there once pods can start; STATE/admin.conf is the administrator's kubeconfig.
# Killing this process ends all pods of the node, and nothing stays of it but STATE and control groups below CGROUP: links,
# mounts, addresses and packet filters are the namespaces'.
set -euo pipefail
[ $# -ge 6 ] || { echo 'usage: node.sh STATE NUMBER PROGRAMS KUBECTL CGROUP IMAGE.tar...' >&2; exit 64; }
[ $$ = 1 ] || { echo 'node.sh: must be the first process of a namespace; see its first lines' >&2; exit 64; }
cluster=$1 number=$2 programs=$3 kubectl=$4 cgroup=$5
shift 5
state=$cluster name=node
if [ "$number" != 1 ]; then
  state=$cluster/node$number name=node$number
fi
mkdir -p "$state"
cd "$state"
mkdir -p pki log cni containerd kubelet var/lib var/log

# Kept in step with tests/harness/kubernetes.rs.
net=172.30.$((256 - number)) pods=172.30.$((number - 1)).0/24 services=172.31.0.0/16 first_service=172.31.0.1
outside=$net.1 node=$net.2 first=172.30.255.2
api=https://$first:6443

until_true() { # seconds, what, command
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ $SECONDS -lt "$end" ] || { echo "node.sh: gave up waiting for $what" >&2; exit 1; }
    sleep .1
  done
}
run() { # name, command
  local name=$1
  shift
  "$@" > "log/$name.log" 2>&1 &
}

until_true 10 'the link eth0' ip link show eth0
ip link set lo up
ip addr add "$node/30" dev eth0
ip link set eth0 up
ip route add default via "$outside"
echo 1 > /proc/sys/net/ipv4/ip_forward

# Programs write to fixed places; the machine's own stay as they are.
mount --make-rshared /
mount -t tmpfs tmpfs /run
mount --bind var/lib /var/lib
mount --bind var/log /var/log
# A kubelet that finds these as it wants them does not set them for the whole machine.
for setting in vm/overcommit_memory=1 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=sysctl-$(tr / - <<< "${setting%=*}")
  echo "${setting#*=}" > "$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done
for hierarchy in /sys/fs/cgroup/*/; do
  [ -e "$hierarchy/cgroup.procs" ] || continue
  mkdir -p "$hierarchy/$cgroup"
  # A group of cpuset can hold nothing before it is given its parent's.
  if [ -e "$hierarchy/$cgroup/cpuset.cpus" ]; then
    cat "$hierarchy/cpuset.cpus" > "$hierarchy/$cgroup/cpuset.cpus"
    cat "$hierarchy/cpuset.mems" > "$hierarchy/$cgroup/cpuset.mems"
  fi
done

certificates() {
  local ec=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  openssl genrsa -out sa.key 2048
  openssl rsa -in sa.key -pubout -out sa.pub
  openssl req -x509 "${ec[@]}" -keyout ca.key -out ca.crt -days 2 -subj /CN=cluster
  openssl req "${ec[@]}" -keyout api.key -out api.csr -subj /CN=kube-apiserver
  openssl x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out api.crt \
    -extfile <(echo "subjectAltName=IP:$node,IP:$first_service,DNS:kubernetes.default.svc")
}
administrator() {
  (cd pki && certificates) 2> log/pki.log
  local token
  token=$(openssl rand -hex 16)
  (umask 077 && echo "$token,admin,1,system:masters" > pki/tokens.csv)

  cat > admin.conf << K
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "$api", certificate-authority: "$state/pki/ca.crt"}}]
users: [{name: admin, user: {token: "$token"}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
K
}
[ "$number" != 1 ] || administrator
export KUBECONFIG=$cluster/admin.conf

cat > containerd/config.toml << K
version = 2
root = "$state/containerd/root"
state = "$state/containerd/state"
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/epic-mesos/pause:1"
  # Where this machine lacks CAP_SYS_RESOURCE, a lower score cannot be had.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
K
# Each pod has a link of its own to the node: what goes between pods is routed, and so seen by kube-proxy's rules. To what
# is outside, pods speak by the node's address.
cat > cni/10-pods.conflist << K
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": true,
  "ipam": {"type": "host-local", "dataDir": "$state/cni-data", "ranges": [[{"subnet": "$pods"}]],
    "routes": [{"dst": "0.0.0.0/0"}]}}]}
K
cat > kubelet.yaml << K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: "$node"
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: "/$cgroup"
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
# Whoever is outside may serve the names that the cluster refuses to.
clusterDNS: ["$first", "172.30.255.1"]
clusterDomain: cluster.local
containerRuntimeEndpoint: "unix://$state/containerd.sock"
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
healthzPort: 0
imageGCHighThresholdPercent: 100
oomScoreAdj: 0
readOnlyPort: 0
resolvConf: ""
volumePluginDir: "$state/kubelet/plugins-exec"
K
cat > Corefile << K
cluster.local:53 in-addr.arpa:53 {
  errors
  ready $node:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $state/admin.conf
    ttl 1
  }
}
K

control() {
  run etcd etcd --data-dir etcd --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
    --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380 \
    --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster default=http://127.0.0.1:2380
  run apiserver "$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --bind-address="$node" --advertise-address="$node" --secure-port=6443 \
    --tls-cert-file=pki/api.crt --tls-private-key-file=pki/api.key --client-ca-file=pki/ca.crt \
    --service-account-key-file=pki/sa.pub --service-account-signing-key-file=pki/sa.key \
    --service-account-issuer=https://kubernetes.default.svc --api-audiences=https://kubernetes.default.svc \
    --service-cluster-ip-range="$services" --authorization-mode=Node,RBAC --token-auth-file=pki/tokens.csv \
    --kubelet-preferred-address-types=InternalIP
  until_true 60 'the API server' "$kubectl" get --raw=/readyz
  run controller-manager "$programs/kube-controller-manager" --kubeconfig="$KUBECONFIG" --leader-elect=false \
    --service-account-private-key-file=pki/sa.key --root-ca-file=pki/ca.crt --use-service-account-credentials=true \
    --secure-port=0 --concurrent-statefulset-syncs=5
  run scheduler "$programs/kube-scheduler" --kubeconfig="$KUBECONFIG" --leader-elect=false --secure-port=0
}

run containerd containerd --config containerd/config.toml
until_true 10 containerd ctr -a containerd.sock version
for image in pause.tar "$@"; do
  [ "$image" = pause.tar ] && image=$programs/pause.tar
  ctr -a containerd.sock -n k8s.io images import "$image" >> log/images.log
done
[ "$number" != 1 ] || control
run kubelet "$programs/kubelet" --kubeconfig="$KUBECONFIG" --config=kubelet.yaml --node-ip="$node" \
  --hostname-override="$name" --root-dir="$state/kubelet"
run proxy "$programs/kube-proxy" --kubeconfig="$KUBECONFIG" --proxy-mode=iptables --hostname-override="$name" \
  --oom-score-adj=0 --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
if [ "$number" = 1 ]; then
  run coredns "$programs/coredns" -conf Corefile
fi

# shellcheck disable=SC2317  # until_true calls them
node_is_ready() { "$kubectl" wait --for=condition=Ready "node/$name" --timeout=1s && "$kubectl" -n default get serviceaccount default; }
# shellcheck disable=SC2317
names_are_served() { exec 3<> "/dev/tcp/$node/53" && exec 3>&- 3<&-; }
until_true 60 'the node' node_is_ready
[ "$number" != 1 ] || until_true 30 'CoreDNS' names_are_served
touch ready

code=0
wait -n || code=$?
echo "node.sh: one of its programs has ended with exit code $code; see the logs in $state/log" >&2
exit 1
