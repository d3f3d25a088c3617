# Everything happens in .venv inside the checkout; a second run reuses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FSVIDEO := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
DOCS := $(VENV)/.installed-docs
LIBRARIES := $(VENV)/.libraries
PACKAGES := libegl1 libgles2 libgl1

.PHONY: help demo test lint docs clean

help:
	@echo "make demo    swap the face in examples/astronaut.mp4; the results are in examples/out"
	@echo "make test    run the tests (CI=true make test: the slow ones too)"
	@echo "make lint    ruff and mypy"
	@echo "make docs    build the documentation: build/site/index.html"
	@echo "make clean   remove .venv, examples/out and build/site"

demo: $(FSVIDEO) $(LIBRARIES)
	@mkdir -p examples/out
	$(BIN)/fsvideo swap --source examples/grace_hopper.jpg --input examples/astronaut.mp4 \
		--output examples/out/demo.mp4 --compare examples/out/compare.mp4 --overwrite
	@echo "examples/out/demo.mp4 is the result; examples/out/compare.mp4 shows before and after side by side."

test: $(DEV) $(LIBRARIES)
	$(BIN)/python -m pytest $(if $(filter true,$(CI)),,-m "not slow")

lint: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "build/site/index.html is the first page. To search, serve it: python3 -m http.server -d build/site"

clean:
	rm -rf $(VENV) examples/out build/site

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(FSVIDEO): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[cpu]'
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(FSVIDEO) $(DOCS)

$(DOCS): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	@touch $@ $(FSVIDEO)

# MediaPipe loads these even where nothing is drawn; a desktop has them, a bare server does not.
$(LIBRARIES): | $(BIN)/python
	@if [ "$$(uname)" != Linux ] || $(BIN)/python -c 'import ctypes; [*map(ctypes.CDLL, ("libEGL.so.1", "libGLESv2.so.2", "libGL.so.1"))]' 2>/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $(PACKAGES); \
	else \
		echo "MediaPipe needs system libraries. Run: sudo apt-get install $(PACKAGES)   then make again." >&2; exit 1; \
	fi
	@touch $@
