# Every target does its own set-up: a fresh machine needs Python >= 3.11, Go, and root or sudo, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON_ENV = $$(scripts/python-env)
IN_ENV = environment=$(PYTHON_ENV); PATH="$$environment/bin:$$PATH" PYTHONPATH="$(CURDIR)/operator"

.PHONY: help
help: ## What can be made.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: demo
demo: ## A shop is migrated on a real PostgreSQL, without a cluster: two good releases, and a broken one that comes back by itself.
	@$(IN_ENV) scripts/demo

.PHONY: demo-cluster
demo-cluster: ## The same by kubectl, on a real Kubernetes on this machine.
	@$(IN_ENV) scripts/demo-cluster

.PHONY: test
test: ## Every tier: lint, unit, integration, cluster. The cluster's programs and images are built beside the fast tiers.
	@$(IN_ENV) scripts/test-all

.PHONY: lint
lint: ## ruff, mypy, import contracts, generated files.
	@$(IN_ENV) scripts/lint

.PHONY: test-unit
test-unit: ## Pure code; seconds.
	@$(IN_ENV) pytest -n 2 tests/unit

.PHONY: test-integration
test-integration: ## The runner and the local run, on real databases.
	@$(IN_ENV) pytest -n 2 tests/integration

.PHONY: test-packaging
test-packaging: ## Chart, manifests and Argo CD's health script, rendered by the real programs.
	@$(IN_ENV) pytest tests/packaging

.PHONY: test-cluster
test-cluster: ## The operator, on a real Kubernetes with the real images.
	@$(IN_ENV) scripts/test-cluster

.PHONY: soak
soak: ## Every case of which a usual run plays a sample: points of a kill, histories, engines, 20 seeds of writers, all states; hours.
	@$(IN_ENV) DBMIGRATION_SOAK=1 pytest tests/unit/lifecycle/test_every_order.py tests/integration tests/cluster/faults tests/cluster/operator/test_ledgers.py tests/cluster/operator/test_real_histories.py

.PHONY: bench
bench: ## Ratios to a reference, both sides interleaved in one run.
	@$(IN_ENV) python -m tests.bench

.PHONY: cluster-up
cluster-up: ## A real Kubernetes on this machine; prints how to point kubectl at it.
	@$(IN_ENV) python -m tests.cluster.embedded up

.PHONY: cluster-down
cluster-down: ## Takes it away, whatever is left of it.
	@$(IN_ENV) python -m tests.cluster.embedded down

.PHONY: generate
generate: ## Renders the CRD and the reference pages from the code.
	@$(IN_ENV) python scripts/generate.py

.PHONY: statuses
statuses: ## Records anew what the operator says of a resource, state by state, on a real Kubernetes; a packaging test reads it.
	@rm -rf tests/packaging/statuses/recorded
	@$(IN_ENV) DBMIGRATION_RECORD_STATUSES=1 pytest tests/cluster/operator/test_scenarios.py tests/cluster/operator/test_wishes.py tests/cluster/operator/test_what_goes_wrong.py tests/cluster/operator/test_the_emergency.py tests/cluster/operator/test_ledgers.py

.PHONY: lock
lock: ## Locks the requirements anew: versions and hashes, no addresses.
	@$(IN_ENV) scripts/lock
