# The whole project in a few words:  make demo | test | browser | lint | types | check | bench | clean
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test browser lint types check bench clean

$(READY): requirements.txt requirements-cli.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --upgrade pip
	$(BIN)/pip install -q -e '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/python -m visage.demo

test: $(READY)
	$(BIN)/pytest

# Chromium and its driver for tests/test_browser.py, on a Debian whose root one is. Elsewhere it is the user's to install.
browser:
	@if command -v chromium && command -v chromedriver; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "Install Chromium and chromedriver by your system's means." >&2; exit 1; \
	fi; \
	apt-get -qq -o Acquire::http::Timeout=20 update && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
		chromium chromium-driver fonts-dejavu-core >/dev/null

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# The folder may have any name, so mypy is shown the tree under the name of the package.
types: $(READY)
	mkdir -p $(VENV)/types && ln -sfn ../.. $(VENV)/types/visage
	cd $(VENV)/types && ../bin/mypy --config-file visage/pyproject.toml -p visage

check: lint types test

bench: $(READY)
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/glue.py
	$(BIN)/python benchmarks/sharp_faces.py
	$(BIN)/python benchmarks/tracking.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/refine.py
	$(BIN)/python benchmarks/restorers.py

clean:
	rm -rf $(VENV) demo-output build *.egg-info
