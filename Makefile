# Two commands do everything: `make apply` and `make test`. Both set up .venv first, from hashed versions.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: apply test test-all check docs lock wheel bench soak fuzz clean

apply: $(READY)  ## carry the bundled rollout to full_active
	$(BIN)/runner apply config/rollout.yaml

test: check  ## ruff, mypy --strict and the tests; of the kill matrix a sixtieth, every day another one
	$(BIN)/pytest -n auto

test-all: check  ## the same with the whole kill matrix
	RUNNER_KILL_PART=all $(BIN)/pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)  ## write the generated pages again
	$(BIN)/python -m docs.generate

lock: $(READY)  ## resolve the newest versions into requirements-dev.txt
	$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --group dev pyproject.toml -o requirements-dev.txt

wheel: $(READY)
	$(BIN)/python -m build --no-isolation --wheel

bench: $(READY)
	$(BIN)/python -m bench

soak: $(READY)  ## 100,000 ticks, and 20 minutes by the real clock: about 50 minutes in all
	$(BIN)/python -m bench soak
	$(BIN)/python -m bench soak --real 20m

FUZZ_S ?= 60
TARGETS ?= config yaml migration statements duration substitution drop faults address plan manifest rehearsal
fuzz: $(READY)  ## throw what covers new code at each reader for FUZZ_S seconds; needs a Python that atheris has a wheel for
	$(BIN)/pip install --quiet --disable-pip-version-check --only-binary :all: --target build/atheris atheris==3.0.0
	for target in $(TARGETS); do \
		PYTHONPATH=build/atheris $(BIN)/python tests/config/fuzz.py $$target -max_total_time=$(FUZZ_S) || exit 1; \
	done

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

$(READY): pyproject.toml requirements-dev.txt runner/__init__.py
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("runner needs Python 3.11 or newer, and $(PYTHON) is %d.%d; name another: make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
