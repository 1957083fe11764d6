# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
UV := .venv-uv/bin/uv
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := protos services/core services/operator services/api services/controller services/handler services/launcher cluster
PROJECTS := $(MEMBERS:%=%/pyproject.toml)
export PATH := $(CURDIR)/$(BIN):$(PATH)

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

.PHONY: venv lock
venv: $(VENV)/.synced ## the development environment in .venv
lock: | $(UV) ## choose the newest versions that pyproject files allow
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-package virt-core --no-emit-package kubevirt-protos \
	  --upgrade --all-extras --group dev $(PROJECTS) -o requirements.lock
