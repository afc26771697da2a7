# Each target sets up what it needs by itself: on a fresh Debian, python3 and make are enough.
# PYTHON=python3.13 chooses the Python that .venv is made with.
export PYTHON

.PHONY: help demo test check matrix drill soak fuzz bench docs clean

help: ## what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: ## three frameworks, one session, at http://127.0.0.1:8000 (PORT=, SESSIONSTORE_URL=)
	@scripts/demo

test: ## every test on python3, and nearly every one on the newest Python at hand
	@scripts/test

matrix: ## every test, on every Python at hand
	@scripts/test matrix

drill: ## what is lost while servers fail under load; some minutes (ARGS="--only NAME")
	@scripts/drill $(ARGS)

fuzz: ## each parser for ten minutes, coverage-guided (ARGS="--only token --seconds 60")
	@scripts/fuzz $(ARGS)

soak: ## ten minutes of users, faults and restarts; invariants and leaks are checked (ARGS="--store NAME")
	@scripts/soak $(ARGS)

bench: ## speed beside every peer, some minutes on a quiet machine (ARGS="--quick", "--only requests")
	@scripts/bench $(ARGS)

check: ## ruff, mypy, import-linter, docs
	@scripts/check

docs: ## build docs/_build/html
	@scripts/docs

clean: ## remove everything that make made
	rm -rf .venv .venv-* .venv.lock .demo docs/_build .coverage* .fuzz .*_cache .hypothesis
