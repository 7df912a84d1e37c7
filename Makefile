# `make demo` and `make test` do all the set-up on a machine with Python 3.11 or later.
PYTHON ?= python3
BIN := .venv/bin
# Processes that share the tests: as many as there are cores; 0 runs them one after the other, in this one.
WORKERS ?= logical
# Dependencies are installed by their hashes, from requirements.lock and requirements-dev.lock; all but torch, whose builds
# for processors and for GPUs come from different places. `make LOCKED= demo` takes what the registry has newest instead.
LOCKED ?= 1
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
comma := ,
by_hash = $(if $(LOCKED),$(PIP) --require-hashes --no-deps --requirement $(1))
itself = $(PIP) $(if $(LOCKED),--no-build-isolation) --editable '.[$(1)]'

# The plugins that tests need; others that lie in .venv would be imported, and looked through, by each process.
PYTEST = $(BIN)/python -m pytest --disable-plugin-autoload -p xdist -p timeout -n $(WORKERS) --dist worksteal

.PHONY: demo test types nightly check audit lock format bench bench-page bench-status bench-enter site site-check gpu-pack clean

demo: .venv/installed
	$(BIN)/footage demo

test: .venv/installed-dev
	$(PYTEST)

# All tests, those too that are left out of `make test` because they are slow.
nightly: .venv/installed-dev
	$(PYTEST) -m ""

# Everything that has to hold: style, types, floors, tests. `.ci/run` runs this.
check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(MAKE) -j2 types test  # mypy keeps one core busy for a minute

types: .venv/installed-dev
	$(BIN)/mypy

# Known holes of the dependencies, where their list can be reached.
audit: .venv/installed-dev
	.ci/audit

# The lock files, anew: what is newest, within pyproject.toml; needs uv. torch and what it alone needs on a GPU stay out.
TORCH_NEEDS := filelock fsspec jinja2 mpmath networkx setuptools sympy typing-extensions
lock: .venv/python
	$(PIP) uv
	printf 'torch ; sys_platform == "none"\n' > .venv/without-torch.txt
	printf '%s\n' hatchling editables $(TORCH_NEEDS) > .venv/beside.in
	for extras in studio studio,dev; do \
		$(BIN)/uv pip compile pyproject.toml .venv/beside.in $$(printf -- '--extra %s ' $$(echo $$extras | tr , ' ')) --universal \
			--python-version 3.11 --generate-hashes --overrides .venv/without-torch.txt --no-emit-package torch \
			--no-header --no-annotate --quiet --upgrade \
			-o requirements$$([ $$extras = studio ] || echo -dev).lock || exit 1; \
	done

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The figures of docs/benchmarks.md: all, or those of ROW="store help". bench-page writes the page from what is noted, without
# rows whose code has changed since; bench-status says which ones; bench-enter notes what was measured elsewhere, FILE.
bench: .venv/installed-dev
	$(BIN)/python benchmarks/bench.py measure $(ROW)

bench-page bench-status: .venv/installed-dev
	$(BIN)/python benchmarks/bench.py $(@:bench-%=%)

bench-enter: .venv/installed-dev
	$(BIN)/python benchmarks/bench.py enter $(FILE)

# The documentation as a site, into site/: any static server shows it, and so does a browser that opens its index.html.
# Its builder alone is not locked: nothing of it reaches who uses footage.
site: .venv/installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The site is built once more, and looked through.
site-check: .venv/installed-docs .venv/installed-dev
	$(BIN)/python -c "import mkdocstrings"
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m pytest -m "" tests/test_site.py -k built_strictly

# Wheels for a machine with a GPU that reaches no package index, into .whl/; see benchmarks/GPU_DAY.md.
WHEELS ?= av==18.1.0 lightning-fabric
GPU_PYTHON ?= 3.12
gpu-pack:
	$(PYTHON) -m pip download --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) --implementation cp \
		$(foreach libc,2_28 2_27 2_17,--platform manylinux_$(libc)_x86_64) --platform manylinux2014_x86_64 -d .whl $(WHEELS)

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "footage needs Python 3.11 or later: make PYTHON=python3.12 demo"; exit 1; }
	@echo "Into .venv comes all that footage needs, PyTorch too: a gigabyte or more, some minutes without a word"
	$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/python pyproject.toml requirements.lock
	$(call by_hash,requirements.lock)
	$(call itself,studio)
	@touch $@

.venv/installed-dev: .venv/python pyproject.toml requirements-dev.lock
	$(call by_hash,requirements-dev.lock)
	$(call itself,studio$(comma)dev)
	@touch $@ .venv/installed

.venv/installed-docs: .venv/installed
	$(call itself,studio$(comma)docs)
	@touch $@

clean:
	rm -rf .venv dist build site .mypy_cache .ruff_cache .pytest_cache
