# `make demo` and `make test` do all the set-up in .venv; nothing else is needed but Python 3.11.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_OUT ?= demo-out
MODELS_OUT ?= models-out

.PHONY: demo models test test-slow lint bench clean setup soak

setup: $(STAMP)

# torch first and pinned: a range would take a build with several gigabytes of CUDA.
$(STAMP): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Mien needs $(PYTHON); set PYTHON=/path/to/python3.11"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/mien demo --out $(DEMO_OUT)

# A synthetic study's face model and the three networks that it teaches, small: half an hour on two cores.
models: $(STAMP)
	$(BIN)/mien learn models --out $(MODELS_OUT)

test: $(STAMP) lint
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

# Killed at every step, the operators' machine for long, real stages to a release: what the everyday suite has no time for.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(STAMP)
	$(BIN)/python tests/system/soak.py --cameras 68 --takes 500 --share 0.4 --json

bench: $(STAMP)
	@for script in benchmarks/bench_*.py; do echo "== $$script" >&2; $(BIN)/python $$script --json || exit 1; done

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache demo-out models-out
