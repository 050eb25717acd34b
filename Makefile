# Targets for people; `make help` lists them.

.DEFAULT_GOAL := help
# All that people can ask for, and what those have in common.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(firstword $(MAKEFILE_LIST))) ready benches

PLATFORM_VERSION := $(shell sed -n 's/^version: *//p' catalog/platform/manifest.yaml)
PLATFORM_BUNDLE := dist/epic-platform-$(PLATFORM_VERSION).bin
# Where cargo puts what it builds.
TARGET = $(shell cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
# Each test on Mesos runs a master and several agents of its own.
TEST_THREADS ?= 2

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand --tabs=16

demo: ready bundles ## Starts Mesos and the platform, leaves them running, shows what to type next; Ctrl-C removes all
	@exec $(TARGET)/debug/epic-demo $(PLATFORM_BUNDLE)

demo-check: ready bundles ## The same, but checks it and ends
	@exec $(TARGET)/debug/epic-demo --check $(PLATFORM_BUNDLE)

demo-ha: ready bundles ## As demo, with three replicas on three ZooKeeper servers and three masters: kill the leader, nothing restarts
	@exec $(TARGET)/debug/epic-demo --ha $(PLATFORM_BUNDLE)

demo-ha-check: ready bundles ## The same, but kills the leader, checks what follows and ends
	@exec $(TARGET)/debug/epic-demo --ha --check $(PLATFORM_BUNDLE)

demo-compose: ready bundles ## The same out of images, by compose on a Docker engine of its own; PROFILE=release builds them for use
	@exec tests/demo/composed/run.sh $(TARGET)/debug/epic-demo $(PLATFORM_BUNDLE)

demo-compose-check: ready bundles ## The same, but takes away the leader and its network, checks what follows and ends; with two versions of compose
	@exec tests/demo/composed/run.sh --check $(TARGET)/debug/epic-demo $(PLATFORM_BUNDLE)

# The demos need no HAProxy, and the first one no ZooKeeper.
demo demo-check: SETS = build mesos
demo-ha demo-ha-check soak: SETS = build mesos zookeeper
demo-compose demo-compose-check test-images: SETS = build docker
test-helm: SETS = build mesos zookeeper docker kube

test: ready bundles ## Runs every test, those on a real Mesos too
	cargo test --workspace --locked --no-fail-fast -- --test-threads=$(TEST_THREADS)

test-dashboard: ## Compares the dashboard with Grafana's own types; needs npm, which gets 26 MB
	@tests/tools/dashboard-types.sh scheduler/monitoring/dashboard.json

test-images: ready ## Checks the images as they are released; the tests above build them faster, and larger
	EPIC_IMAGE_PROFILE=release cargo test --locked -p epic-tests --test deploy -- images:: executor::

soak: ready programs ## 30 rounds of killed, stopped and cut off replicas, masters and ZooKeeper servers; ROUNDS=, SEED= change that
	@exec env ROUNDS="$(ROUNDS)" SEED="$(SEED)" ZK_CLIENT="$(ZK_CLIENT)" $(TARGET)/debug/epic-soak

test-helm: ready programs ## The chart on a real Kubernetes, ZooKeeper and Mesos; the first run builds Kubernetes (ACTS=stay leaves all running)
	@exec tests/kube/run.sh $(TARGET)/debug/epic-kube $(ACTS)

gate: ## Runs what every change must pass: format, lints, documents, tests
	.ci/run

programs: ## Builds every program
	@tests/check-rust.sh
	cargo build --workspace --bins --locked

# Makes the reference platform's bundle from Debian's packages (kept in ~/.cache/epic-mesos, or $EPIC_CACHE_DIR).
bundles: programs $(PLATFORM_BUNDLE) ## Makes dist/*.bin

# All programs are built at once, so that their dependencies are compiled once, with the features that all need.
$(PLATFORM_BUNDLE): $(shell find catalog/platform common/io/src/bundle common/src/manifest -type f) | programs
	catalog/platform/build.sh $(TARGET)/debug/epicctl dist

archive: ready ## Makes dist/epic-mesos-VERSION-x86_64.tar.gz, which Marathon's agents fetch
	cargo build --release --locked -p epic-scheduler -p epic-executor -p epic-cli
	scheduler/archive.sh $(TARGET)/release dist

deb: SETS = build package
deb: ready ## Makes dist/epic-mesos-scheduler_VERSION_amd64.deb, a service of systemd
	cargo build --release --locked -p epic-scheduler -p epic-cli --bins
	zig=$$(tests/tools/zigbuild.sh) && PATH=$${zig%/*}:$$PATH CARGO_TARGET_DIR=$(TARGET)/old \
		"$$zig" zigbuild --release --locked --target $(OLD).2.17 -p epic-executor
	EPIC_EXECUTOR=$(TARGET)/old/$(OLD)/release/epic-executor scheduler/debian/build.sh $(TARGET)/release dist

# Agents may be older than the machine that builds what runs on them.
OLD = $(shell uname -m)-unknown-linux-gnu

# What the targets above take for granted of the machine; SETS are the packages they need, by default all.
ready:
	@test "$$(id -u)" = 0 || { echo "this confines real processes with control groups: run it as root" >&2; exit 1; }
	@tests/check-rust.sh
	@tests/setup.sh $(SETS)

# Figures are of release builds; quote ratios within one run, since machines are noisy.
benches: ready
	cargo build --release --locked -p epic-scheduler -p epic-executor -p epic-tests --bins

bench-launch: benches ## Prints what launching on AGENTS=1000,5000,10000 costs beside a raw loop of the same calls; ZK=1: with ZooKeeper
	@$(TARGET)/release/epic-bench launch $(if $(ZK),--zk) $(AGENTS)

bench-calls: benches ## Prints what a call to Mesos costs the scheduler, beside a general client and a raw loop
	@$(TARGET)/release/epic-bench calls

bench-faults: benches ## Prints how long a platform takes to come up while the master loses, refuses and takes back
	@$(TARGET)/release/epic-bench faults

bench-journal bench-entries bench-failover: SETS = build zookeeper
bench-journal: benches ## Prints what commits cost beside a bare ZooKeeper client, with 1 and 3 servers
	@$(TARGET)/release/epic-bench journal

bench-entries: benches ## Prints what a million entries leave in ZooKeeper, and what a task takes there
	@$(TARGET)/release/epic-bench entries

bench-failover: benches ## Prints how long nobody leads, with up to 100,000 tasks
	@$(TARGET)/release/epic-bench failover

bench-idle: SETS = build mesos
bench-idle: benches ## Prints CPU and memory of an idle scheduler and executor over a minute
	@$(TARGET)/release/epic-bench idle

bench-zookeeper: SETS = build zookeeper
bench-zookeeper: benches ## Prints appends per second, and what a server's death costs, with both ZooKeeper clients
	@$(TARGET)/release/epic-bench zookeeper
