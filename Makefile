# README's commands are `make image`, `make demo` and `make test`; `make help` lists the others.

SWIFT ?= swift
# Release builds carry the Swift standard library.
RELEASE := -c release -Xswiftc -static-stdlib
CONFORMANCE_DIR ?= ../shared/conformance
CONFORMANCE_FLAGS ?=
# The tests of what has threads of its own.
THREADED_TESTS := KubernetesClientTests ReconcilerTests ObservabilityTests
# Some of: tests ipvs-live nftables-live ipvs-start; or ipvs, nftables, bench, networks, matrix, pictures, profiles
VM_PARTS ?=
export CONFORMANCE_DIR SWIFT

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

.PHONY: demo
demo: release ## a cluster in network namespaces, real connections, who answered
	.build/release/needletail-lab demo

.PHONY: test
test: packages-test check oracle ## everything that proves the product on this machine
	$(SWIFT) build --build-tests
	scripts/run-tests --skip-build
	NEEDLETAIL_HISTORIES=10000 scripts/run-tests --skip-build --disable-xctest --filter ModelKernelTests.HistoryTests

.PHONY: release
release: packages
	$(SWIFT) build $(RELEASE)

.PHONY: bench
bench: release ## transactions, a daemon in clusters of many shapes, bursts, reading; short runs of shapes, bursts and connections
	.build/release/needletail-lab bench --shapes 5000x1 100x250 1x2000 --burst 2000x5 --restarted 1000 --burst-changes 2000
	.build/release/needletail-lab bench-connections --services 10,100,1000 --rounds 20 --clients 2000 --source-ranges 100 --commits 1,1000

.PHONY: soak
SOAK_SECONDS ?= 600
# Speed is asserted where nobody else uses the machine.
SOAK_FLAGS ?= --strict
soak: release ## a hostile tenant, floods and a broken API server, SOAK_SECONDS long
	.build/release/needletail-lab soak --seconds $(SOAK_SECONDS) --log .build/soak.log $(SOAK_FLAGS)

.PHONY: churn
CHURN_CHANGES ?= 1000000
churn: release ## objects come, change and go, CHURN_CHANGES times; memory, descriptors and the kernel's elements must not grow
	.build/release/needletail-lab churn --changes $(CHURN_CHANGES) --log .build/churn.log

.PHONY: networks
networks: release ## the same Services on every kind of pod network
	@scripts/install-packages networks
	.build/release/needletail-lab networks

.PHONY: network-pictures
network-pictures: release ## draw docs/networks/ anew, from packets on networks built for it
	@scripts/install-packages networks
	.build/release/needletail-lab draw docs/networks
	scripts/test-vm pictures

.PHONY: test-unit
# Targets, and of targets with servers and threads the suites that have none.
UNIT_TESTS := NetworkTypesTests YAMLTests KubernetesModelTests PlanCompilerTests NFTablesTests IPVSTests ManifestSourceTests ConfigurationTests ReconcilerTests NetlinkBytesTests JournalTests \
    $(addprefix ModelKernelTests.,EvaluatorTests MemoryKernelTests EvaluatorPropertyTests HistoryTests KnownIssueTests) \
    $(addprefix ObservabilityTests.,MetricsTests ExpositionTests HealthTests HTTPRequestTests HTTPResponseTests HostHeaderTests RoutesTests OutputTests ForwardingTests ProxyMonitorTests StatusDocumentTests) \
    $(addprefix KubernetesClientTests.,WatchPolicyTests WatchPolicyHistoryTests WatchDecoderTests EventAggregatorTests EventAggregatorHistoryTests SetAsideTests ListProgressTests ResourceTests KubeconfigTests RecordingTests) \
    LocalhostForwardingTests.EndpointChoiceTests
test-unit: ## the tests that need neither root nor a network
	$(SWIFT) build --build-tests
	NEEDLETAIL_HISTORIES=100 $(SWIFT) test --skip-build --disable-xctest $(addprefix --filter ,$(UNIT_TESTS)) --skip PlantedServerMistakeTests

.PHONY: conformance
conformance: release packages-test ## packet-level cases, from CONFORMANCE_DIR
	@if [ -d "$(CONFORMANCE_DIR)" ]; then set -ex; \
	    python3 -B "$(CONFORMANCE_DIR)/run.py" --driver needletail --mode nftables --binary "$(CURDIR)/.build/release/needletail" $(CONFORMANCE_FLAGS); \
	    python3 -B "$(CONFORMANCE_DIR)/run.py" --driver needletail --mode nftables --binary "$(CURDIR)/.build/release/needletail" --live $(CONFORMANCE_FLAGS); \
	else echo "no conformance suite in $(CONFORMANCE_DIR); set CONFORMANCE_DIR"; fi

.PHONY: conformance-verify
conformance-verify: release packages-test ## packet-level cases, and what explain --verify and watch --refused say about each flow
	python3 -B scripts/verify-conformance verify --driver needletail --mode nftables --binary "$(CURDIR)/.build/release/needletail" --live $(CONFORMANCE_FLAGS)
	python3 -B scripts/verify-conformance refused --driver needletail --mode nftables --binary "$(CURDIR)/.build/release/needletail" --live $(CONFORMANCE_FLAGS)

.PHONY: sanitize
# Long properties of pure Swift, and what runs the program.
UNSANITIZED := CommandTests HistoryTests PlantedMistakeTests EvaluatorPropertyTests
sanitize: packages-test ## the tests under the address sanitizer, those of threads under the thread sanitizer
	$(SWIFT) build --build-tests --sanitize=address --scratch-path .build-asan
	LSAN_OPTIONS=suppressions=$(CURDIR)/scripts/lsan.suppressions scripts/run-tests --skip-build --disable-xctest --sanitize=address --scratch-path .build-asan $(addprefix --skip ,$(UNSANITIZED))
	$(SWIFT) build --build-tests --sanitize=thread --scratch-path .build-tsan
	TSAN_OPTIONS=suppressions=$(CURDIR)/scripts/tsan.suppressions scripts/run-tests --skip-build --disable-xctest --sanitize=thread --scratch-path .build-tsan $(addprefix --filter ,$(THREADED_TESTS))

.PHONY: fuzz
FUZZ_SECONDS ?= 60
fuzz: packages ## libFuzzer on every reader of foreign bytes, FUZZ_SECONDS each
	scripts/fuzz $(FUZZ_SECONDS)

.PHONY: fuzz-coverage
fuzz-coverage: packages ## how many lines of each reader of foreign bytes its committed corpus reaches; 90 % are needed
	scripts/fuzz-coverage

.PHONY: golden
golden: ## record Tests/Golden anew; fails, so that the difference is reviewed
	NEEDLETAIL_RECORD=1 $(SWIFT) test --filter GoldenTests

.PHONY: test-vm
test-vm: release packages-test ## mode ipvs, and all that needs another kernel, in a virtual machine
	NEEDLETAIL_VM=1 $(SWIFT) build --build-tests
	scripts/test-vm $(VM_PARTS)

.PHONY: test-kernels
KERNELS ?=
test-kernels: release packages-test ## both modes on several of Debian's kernels, KERNELS, in virtual machines; takes an hour and more
	scripts/test-kernels $(KERNELS)

# Where IPVS is in the kernel, the same test runs without a machine.
.PHONY: prove-switch
CONNECTIONS ?= 100000
prove-switch: release packages-test ## kube-proxy's mode ipvs to ours to nftables under CONNECTIONS connections, in a virtual machine
	NEEDLETAIL_VM=1 $(SWIFT) build --build-tests
	VM_FILTER="VMTests.IPVSModeTests/.*connections.pass" VM_ENVIRONMENT=NEEDLETAIL_CONNECTIONS=$(CONNECTIONS) VM_LIMIT=7200 VM_LINES=12 scripts/test-vm tests

.PHONY: manifests
manifests: release packages-test ## validate manifests/, the alert rules and the served metrics
	scripts/check-manifests

.PHONY: image
image: release packages-test ## the OCI image, run under containerd as the DaemonSet runs it
	scripts/image
	scripts/check-image

.PHONY: dist
dist: release ## what a release consists of: image, chart, Debian package, plugin, bill of materials, checksums
	scripts/dist
	scripts/check-dist

.PHONY: docs
docs: ## check every link, and build the site of docs/ into .build/site
	scripts/docs

.PHONY: reference
reference: ## write the reference pages of docs/ anew
	$(SWIFT) build --product needletail
	for page in flags metrics; do .build/debug/needletail reference $$page > docs/$$page.md; done

.PHONY: proto
proto: ## generate the Swift of KubernetesWire/wire.proto anew
	scripts/generate-proto

.PHONY: check
check: ## formatting, module levels, file sizes
	scripts/check-source

.PHONY: format
format: ## format the sources
	$(SWIFT) format --in-place --recursive --parallel Sources Tests Fuzz Package.swift

.PHONY: packages packages-test oracle
packages:
	@scripts/install-packages
packages-test:
	@scripts/install-packages test
oracle:
	@scripts/newer-nft .cache/newer-nft >/dev/null

.PHONY: clean
clean: ## remove what was built
	rm -rf .build .build-* .cache
