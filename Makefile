# make demo    the main job in the local sandbox          make test    lint, types, unit, integration, sanity
PYTHON ?= python3
VENV   ?= .venv
ENGINE ?= standin
BIN    := $(VENV)/bin
# What makes the documentation site.
SITE   := zensical
PYTEST := $(BIN)/pytest -n 2 --dist loadfile --durations 8
SHELL  := /bin/bash
.SHELLFLAGS := -euo pipefail -c
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Without bytecode every command of the tests compiles our code, Ansible's and its own again.
unexport PYTHONDONTWRITEBYTECODE
# Sessions that tests go on with are made once for each build, whatever tiers run.
export TEST_SNAPSHOTS ?= $(abspath .cache/snapshots)
PRODUCT := $(shell find linode_coder collections roles playbooks inventory_plugins -type f -not -name '*.pyc' 2>/dev/null) CHANGELOG.md

.PHONY: help install demo models test lint types unit integration sanity test-installed test-slow test-docker test-engine test-foreign test-clients test-molecule test-newest vllm bench thousand mutants clean constraints dist collection ee changelog site pictures test-site

help:
	@echo 'make demo           bring a session up in the local sandbox, ask it something, show the cost, take it down'
	@echo 'make demo ENGINE=vllm   the same with the real vLLM (on the CPU, tiny model)'
	@echo 'make vllm           install the real vLLM and Open WebUI for the sandbox, once for all checkouts (5 GB)'
	@echo 'make test           lint, types, unit, integration and sanity tests'
	@echo 'make dist           the wheel and the Galaxy archive, in dist/'
	@echo 'make collection     the Galaxy archive: collections/ with the roles, playbooks and inventory plugin beside it'
	@echo 'make ee             what an execution environment for AWX is built from, in .cache/ee'
	@echo 'make site           the documentation as pages, in build/site; make test-site looks at them in Chromium'
	@echo 'make pictures       the pictures of README.md and of the site, of real commands in the sandbox (tmux)'
	@echo 'make changelog      what changelogs/fragments says into the one change log'
	@echo 'make models         what the Hub says of the packaged models now, as a change to review (WRITE=1 writes it)'
	@echo 'make test-installed the wheel and the Galaxy archive in the environments that people make'
	@echo 'make test-molecule  molecule scenarios on sandbox hosts, those of the roles on docker hosts'
	@echo 'make test-slow      what takes longer on simulated hosts: playbooks, leases, serving, watching, every rung of healing'
	@echo 'make test-docker    integration tests on docker hosts (root, docker.io, mmdebstrap)'
	@echo 'make test-engine    tests against the real vLLM, on docker hosts and beside its stand-in'
	@echo "make test-foreign   the SDK's own integration tests against the sandbox, awx.awx against a played controller, PostgreSQL"
	@echo "make test-clients   real coding agents with what use --print prints, against the sandbox (Node 20, 4 GB once)"
	@echo 'make test-newest    the lowest and the highest versions that the wheel allows, the latter on the newest Python here'
	@echo 'make bench          ratios of our commands against their peers, in one run'
	@echo 'make thousand       what a thousand sessions make of the commands that read all of them (root, half an hour)'
	@echo 'make mutants        break the decisions one small way at a time: which of it do the unit tests notice?'
	@echo 'make clean          remove everything that make created'

# The environment of the tests is rebuilt when what it is made from changes, and only then. It has the product as people get it:
# from the wheel, not editable. uv makes it in a tenth of pip's time; users need no uv.
$(BIN)/.tools: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=/path/to/python3.11 ...")'
	@echo 'installing into $(VENV) ...'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -r pyproject.toml --extra dev
	@touch $@

dist/.built: $(BIN)/.tools $(PRODUCT) README.md LICENSE
	@rm -rf dist build .cache/snapshots
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . > /dev/null
	@$(BIN)/python -m zipfile -e dist/*.whl build/wheel
	@$(BIN)/ansible-galaxy collection build --output-path dist build/wheel/ansible_collections/linode_coder/gpu > /dev/null
	@rm -rf build
	@touch $@

$(BIN)/.complete: dist/.built
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --reinstall dist/*.whl
	@touch $@

install: $(BIN)/.complete

demo: $(BIN)/.complete
	@$(BIN)/python tools/demo.py --engine $(ENGINE)

# What takes both cores longest beside all else.
test: $(BIN)/.complete
	@$(BIN)/python tools/tiers.py integration + lint types sanity unit

# The inventory of the checkout needs an account, which checking the syntax of a playbook does not.
lint: $(BIN)/.complete
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PATH="$(abspath $(BIN)):$$PATH" ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=false $(BIN)/ansible-lint --offline --profile production
	$(BIN)/python -m tools.lint_collection
	$(BIN)/python -m tools.shell_scripts

types: $(BIN)/.complete
	$(BIN)/mypy

unit: $(BIN)/.complete
	$(PYTEST) tests/unit

integration: $(BIN)/.complete
	$(PYTEST) tests/integration

sanity: $(BIN)/.complete
	$(BIN)/python tools/sanity.py

dist: dist/.built

collection: dist/.built
	@ls dist/*.tar.gz

# Everything that the image is built from; what builds it needs podman or Docker.
ee: $(BIN)/.complete
	@rm -rf .cache/ee
	@$(BIN)/ansible-builder create --context .cache/ee --output-filename Containerfile
	@echo 'podman build -t linode-coder-ee .cache/ee'

# What makes the site is only needed for it, so it has an environment of its own.
.cache/site/.complete: constraints.txt | $(BIN)/.tools
	@$(PYTHON) -m venv --clear .cache/site
	@$(BIN)/uv pip install --quiet --python .cache/site/bin/python -c constraints.txt $(SITE)
	@touch $@

site: $(BIN)/.complete .cache/site/.complete
	@$(BIN)/python -m tools.site.build .cache/site/bin/zensical

pictures: $(BIN)/.complete
	@$(BIN)/python -m tools.site.pictures

test-site: site
	@$(BIN)/python -m tools.site.look

changelog: dist/.built
	$(BIN)/python -m tools.changelog

# MODEL: the entries to read, all of them otherwise.
models: $(BIN)/.complete
	@$(BIN)/python -m tools.models $(if $(WRITE),--write) $(foreach name,$(MODEL),--model $(name))

test-installed: $(BIN)/.complete
	$(PYTEST) tests/installed

test-slow: $(BIN)/.complete
	$(PYTEST) --no-loadscope-reorder tests/slow

test-docker: $(BIN)/.complete
	$(BIN)/python tools/with_docker.py $(BIN)/pytest tests/docker_hosts

vllm: $(BIN)/.complete
	$(BIN)/linode-coder sandbox prepare --webui

test-engine: vllm
	$(BIN)/python tools/with_docker.py $(PYTEST) tests/engine --timeout 3600

test-foreign: $(BIN)/.complete
	$(BIN)/python tools/foreign_awx.py
	$(BIN)/python tools/foreign_sdk.py
	$(BIN)/pytest -q tests/foreign/test_postgres.py

# CLIENTS, CASES: which of tools/client_list.py, and what is tried with them. ENGINE=vllm: against the real engine. LAUNCH=1: by `launch`.
test-clients: $(BIN)/.complete $(if $(filter vllm,$(ENGINE)),vllm)
	@ENGINE=$(ENGINE) $(BIN)/python tools/clients.py

test-molecule: $(BIN)/.complete
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tools/with_docker.py $(BIN)/python tools/molecule_in_sandbox.py $(SCENARIO)

test-newest: $(BIN)/.complete
	@$(BIN)/python tools/newest.py

bench: $(BIN)/.complete
	@$(BIN)/python tools/bench.py

# SESSIONS: how many. ONLY: a pattern of the commands to measure.
thousand: $(BIN)/.complete
	@$(BIN)/python tools/thousand.py

# MUTANTS: modules to break, and options; all of every decision take an hour.
mutants: $(BIN)/.complete
	@$(BIN)/python tools/mutants.py $(MUTANTS)

constraints:
	@rm -rf .venv-constraints
	@$(PYTHON) -m venv .venv-constraints
	@.venv-constraints/bin/python -m pip install --quiet '.[dev]' $(SITE)
	@{ head -3 constraints.txt; .venv-constraints/bin/python -m pip freeze --exclude linode-coder | grep -v '^ansible-core=='; } > constraints.new
	@mv constraints.new constraints.txt
	@rm -rf .venv-constraints

clean:
	rm -rf $(VENV) .venv-constraints .cache dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
