# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3
PYTHON_NEXT ?= $(firstword $(wildcard /usr/bin/python3.13 $(HOME)/.pyenv/versions/3.13*/bin/python3.13))
UV := .venv-uv/bin/uv
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := protos $(sort $(patsubst %/,%,$(dir $(wildcard services/*/pyproject.toml)))) cluster
TYPED := protos/generate.py $(patsubst %/__init__.py,%,$(wildcard services/*/virt_*/__init__.py)) cluster/localcluster
PROJECTS := $(MEMBERS:%=%/pyproject.toml)
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Every test process reads what the first one compiled, also where the machine forbids .pyc files beside their sources.
export PYTHONPYCACHEPREFIX := $(CURDIR)/build/pycache
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

# --- the workspace ---
.venv-uv/bin/uv:
	$(PYTHON) -m venv .venv-uv
	.venv-uv/bin/pip install --quiet 'uv==0.13.8'

$(VENV)/.synced: requirements.lock $(PROJECTS) | $(UV)
	@# libvirt-python compiles against libvirt's headers
	@pkg-config --exists libvirt 2>/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libvirt-dev pkg-config gcc; }
	@[ -x $(BIN)/python ] || $(UV) venv --quiet --no-python-downloads --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps $(MEMBERS:%=-e ./%)
	@touch $@

.PHONY: venv lock page
venv: $(VENV)/.synced ## the development environment in .venv
page: ## the page of `virtadm ui`, bundled with npm once for each state of its sources, outside of the repository
	$(PYTHON) services/admin/page/bundle.py
lock: | $(UV) ## choose the newest versions that pyproject files allow
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-package virt-core --no-emit-package kubevirt-protos \
	  --upgrade --all-extras --group dev $(PROJECTS) -o requirements.lock

# --- the local cluster; with KUBECONFIG set, the cluster and the registry (REGISTRY) that it names ---
OWN_KUBECONFIG := $(CURDIR)/build/cluster/kubeconfig
export KUBECONFIG ?= $(OWN_KUBECONFIG)
LOCAL := $(filter $(OWN_KUBECONFIG),$(KUBECONFIG))
export REGISTRY ?= 172.30.0.1:5000
# the local cluster's registry is there when the cluster is
REGISTRY_UP := $(if $(filter 172.30.0.1:%,$(REGISTRY)),cluster-up,venv)
NODES ?= 2
RECORDED := $(shell sed -n 's/^version = "\(.*\)"/\1/p' releases.toml | tail -1)
# a shallow clone cannot build it
HISTORY := $(shell git cat-file -e "$$(sed -n 's/^commit = "\(.*\)"/\1/p' releases.toml | tail -1)^{commit}" 2>/dev/null && echo yes)
export PATH := $(PATH):$(CURDIR)/build/cluster/bin

.PHONY: cluster-up cluster-down images release record recorded-images next-images builds manifests chart helm virtctl install install-recorded uninstall demo
cluster-up: venv ## a real Kubernetes of NODES=2 nodes on this machine
	$(if $(LOCAL),$(BIN)/python -m localcluster up --nodes $(NODES),@echo "using the cluster of KUBECONFIG=$(KUBECONFIG)")
cluster-down: venv ## and nothing of it is left
	$(if $(LOCAL),$(BIN)/python -m localcluster down,@echo "KUBECONFIG is set: leaving its cluster alone")
images: $(REGISTRY_UP) ## build every image and push it to the registry; RELEASE=0.1.0: those of a recorded release
	$(BIN)/python -m localcluster images $(if $(RELEASE),--release $(RELEASE))
release: venv ## dist/: archives with SBOMs, manifests and chart by digest, virtadm's wheels, SHA256SUMS; images at REGISTRY
	$(BIN)/python -m localcluster release
record: images ## the entry of releases.toml for the commit that is checked out, and the line of the product's list
	@$(BIN)/python -m localcluster record
builds: images ## all of them
	@$(MAKE) --no-print-directory recorded-images next-images
recorded-images: $(REGISTRY_UP) ## the same of the newest recorded release
	$(if $(HISTORY),$(BIN)/python -m localcluster images --release $(RECORDED),@echo "not built: git has no commit of $(RECORDED) here")
next-images: $(REGISTRY_UP) ## the same of a next release of this tree, made by tests/next_release, and its manifests
	$(BIN)/python -m tests.next_release
manifests: venv ## build/manifests/kubevirt-operator.yaml and kubevirt-cr.yaml
	@mkdir -p build && $(BIN)/python -m localcluster tag > build/tag
	$(BIN)/python -m virt_operator manifests --registry $(REGISTRY) --tag $$(cat build/tag) --use-emulation --out build/manifests
chart: venv ## build/charts/kubevirt, a Helm chart of the same objects
	$(BIN)/python -m virt_operator chart --registry $(REGISTRY) --tag $$($(BIN)/python -m localcluster tag) --version $$(cat VERSION) --use-emulation
helm virtctl: venv ## a helm or a virtctl to use it with, in build/cluster/bin
	$(BIN)/python -m localcluster client $@
install: images manifests ## the suite, as its users install it
	kubectl apply -f build/manifests/kubevirt-operator.yaml
	kubectl apply -f build/manifests/kubevirt-cr.yaml
	kubectl -n kubevirt wait kv kubevirt --for condition=Available --timeout 300s
	@# an older suite was Available before: this one is there when it is observed
	kubectl -n kubevirt wait kv kubevirt --for jsonpath='{.status.observedKubeVirtVersion}'=$$(cat build/tag) --timeout 300s
ifeq ($(HISTORY),)
install-recorded: install
else
install-recorded: recorded-images ## the newest recorded release
	kubectl apply -f build/releases/$(RECORDED)/build/manifests/kubevirt-operator.yaml
	kubectl apply -f build/releases/$(RECORDED)/build/manifests/kubevirt-cr.yaml
	kubectl -n kubevirt wait kv kubevirt --for condition=Available --timeout 300s
endif
uninstall: ## remove the suite; the KubeVirt object first
	kubectl delete --ignore-not-found -f build/manifests/kubevirt-cr.yaml --wait
	kubectl delete --ignore-not-found -f build/manifests/kubevirt-operator.yaml --wait
demo: venv ## from nothing to a VirtualMachine that serves a page and survives each kill
	@$(BIN)/python -m tests.e2e.demo

# --- tests ---
SLOWEST := --durations=15
.PHONY: check generate format supported recording test test-optimized test-next test-unit test-contract test-units test-integration test-e2e test-e2e-upgrade test-e2e-parallel test-e2e-serial test-all chaos bench
check: venv ## ruff, mypy, import-linter, buf, contracts of recorded releases
	ruff check . && ruff format --check .
	mypy $(TYPED)
	lint-imports
	cd protos && buf lint && buf format --diff --exit-code
	$(BIN)/python -m localcluster contracts
format: venv ## rewrite as ruff and buf want it
	ruff check --fix . ; ruff format . ; cd protos && buf format -w
generate: venv ## Python of the contracts
	$(BIN)/python protos/generate.py
supported: venv ## the tables of what is supported, in README.md and docs/supported.md
	$(BIN)/python -m virt_operator.packaging.supported .
recording: venv ## the upgrade that docs/virtadm.md shows, as virtadm shows it now
	RECORDING=1 pytest tests/unit/operator/test_recording.py
test-unit: venv ## seconds
	pytest tests/unit -n 2
test-contract: venv ## what peers must agree on
	pytest tests/contract
test-units: venv ## both, side by side
	pytest tests/unit tests/contract -n 2 $(SLOWEST)
test-integration: images ## real processes, no cluster
	pytest tests/integration -m 'not slow' -n 3 --dist loadfile --no-loadscope-reorder $(SLOWEST)
test-e2e: install-recorded builds test-e2e-upgrade test-e2e-parallel test-e2e-serial ## one pass over a real cluster that installs once
test-e2e-upgrade: builds manifests ## from the newest recorded release to this tree and back
	pytest tests/e2e -m 'upgrade and not slow' -s $(SLOWEST)
test-e2e-parallel: venv ## those that disturb nothing but their own guests
	pytest tests/e2e -m 'parallel and not slow and not chaos' -n 4 --dist loadfile --no-loadscope-reorder $(SLOWEST)
test-e2e-serial: venv ## the others, one after the other
	pytest tests/e2e -m 'not parallel and not upgrade and not slow and not chaos' $(SLOWEST)
# The images run without asserts and docstrings. pytest rewrites the asserts of tests, so these are still checked, and
# warns about those of the product, which shall be stripped.
OPTIMIZED := -n 2 $(SLOWEST) -W ignore::pytest.PytestConfigWarning
test-optimized: venv ## unit and contract tests as the images run Python (-OO)
	PYTHONOPTIMIZE=2 pytest tests/unit tests/contract $(OPTIMIZED)
test-next: venv ## the same on Python 3.13, where this machine has one
ifeq ($(PYTHON_NEXT),)
	@echo "not tested: no Python 3.13 on this machine (PYTHON_NEXT)"
else
	@[ -x build/venv-next/bin/python ] || $(UV) venv --quiet --no-python-downloads --python $(PYTHON_NEXT) build/venv-next
	@$(UV) pip sync --quiet --python build/venv-next/bin/python requirements.lock
	@$(UV) pip install --quiet --python build/venv-next/bin/python --no-deps $(MEMBERS:%=-e ./%)
	PYTHONOPTIMIZE=2 build/venv-next/bin/pytest tests/unit tests/contract -m 'not exhaustive' $(OPTIMIZED)
endif
test: ## what must pass before a change lands; ends with a table of its stages
	@$(PYTHON) tests/stages.py venv builds+check test-integration+install-recorded test-e2e-upgrade test-e2e-parallel test-e2e-serial+test-optimized
test-all: test test-units test-next release ## and what takes longer
	pytest tests/integration -m slow
	pytest tests/e2e -m 'slow and not chaos' -s
chaos: builds install ## kill everything, eight times each; changes of release with deaths, and in random sequences; a soak of two hours
	pytest tests/e2e -m chaos -s
bench: install ## seconds to install, start and end latency, memory, requests (35 min): build/bench.json
	$(BIN)/python -m tests.bench
