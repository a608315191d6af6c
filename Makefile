# make test and make demo do all their own set-up: Python 3.11, git and make are enough.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RYU    := .venv-ryu
STAMP  := $(VENV)/.installed
# The capture that the demo ends with, and the lanes it goes through.
SHIPPED := topologies/two-table-firewall
ALL     := ovs-kernel,ovs-userspace,tc,hw

.DEFAULT_GOAL := help
.PHONY: help venv controller test lint demo bench clean

help:
	@echo "make venv   a virtual environment in $(VENV) with ovsct and its test tools"
	@echo "make controller   Ryu 4.34 in $(RYU), for the applications in controller/"
	@echo "make test   ruff, mypy --strict, import-linter, pytest"
	@echo "make demo   the main job on the shipped scenarios"
	@echo "make bench  the benchmarks"
	@echo "make clean  remove what make and the tools made"

venv: $(STAMP)

$(STAMP): setup.cfg
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "ovsct needs Python 3.11 or newer, and $(PYTHON) is %d.%d: try make PYTHON=python3.11" % v[:2])'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment: install python3-venv (Debian, Ubuntu), or give another with make PYTHON=..."; exit 1; }
	@echo "setting up $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

controller: $(RYU)/.installed

# Ryu 4.34, its last release, builds with setuptools below 67 only, and asks eventlet for a name
# that is gone since 0.30.3: the .pth file has Python give it back (controller/common/eventlet_fix.py).
$(RYU)/.installed: controller/common/eventlet_fix.py controller/install_ryu.py
	@echo "setting up $(RYU)"
	@test -x $(RYU)/bin/python || $(PYTHON) -m venv $(RYU)
	@$(RYU)/bin/python controller/install_ryu.py
	@touch $@

test: lint
	$(BIN)/pytest -q

lint: venv
	$(BIN)/ruff check
	$(BIN)/mypy --strict ovsct
	$(BIN)/lint-imports

# ovsct diff ends with 1 where lanes differ, which is what most of these scenarios are there to
# show; 2 (bad input) and anything else is a failure.
demo: venv
	@$(BIN)/ovsct --help >/dev/null
	@for scenario in topologies/netdev-0x13.yaml \
	    $(filter-out topologies/netdev-0x13.yaml,$(sort $(wildcard topologies/*.yaml))); do \
	    printf '\n$$ ovsct diff %s\n' "$$scenario"; \
	    $(BIN)/ovsct diff "$$scenario"; code=$$?; \
	    test $$code -le 1 || exit $$code; \
	done
	@printf '\n$$ %s\n' 'ovsct diff --flows $(SHIPPED).flows --events $(SHIPPED).pcapng --lanes $(ALL)'
	@$(BIN)/ovsct diff --flows $(SHIPPED).flows --events $(SHIPPED).pcapng --lanes $(ALL) \
	    --no-steps; test $$? -le 1

bench: venv
	$(BIN)/pytest benchmarks/ --benchmark-only

clean:
	rm -rf $(VENV) $(RYU) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	    .benchmarks .import_linter_cache .ci/*.log
	find ovsct tests -name __pycache__ -type d -prune -exec rm -rf {} +
