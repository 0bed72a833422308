# make quickstart   train, measure and use a small model on made-up drawings
# make test         run the tests
# make lint         ruff and pyright
# make install      only the environment
# make clean        remove environments and caches; runs/ stays
#
# Each makes .venv-X.Y with what it needs, once. `make test PYTHON=python3.13` takes another
# interpreter and leaves the first one's environment alone.

.POSIX:
.PHONY: help quickstart test lint install clean

# The first of these that is Python 3.11 to 3.13 with venv is taken.
PYTHON = python3 python3.13 python3.12 python3.11
RUN = runs/quickstart
# More for pytest: make test ARGS='-m "not slow"'
ARGS =

PROBE = import sys; sys.stdout.write("%d.%d" % sys.version_info[:2]); \
	sys.stdout.flush(); import ensurepip, venv

# Shell that names the environment: $$python and $$venv.
FIND = set -eu; venv=; tried=; \
	for python in $(PYTHON); do \
		found=$$("$$python" -c '$(PROBE)' 2>/dev/null) \
			|| found=$${found:+$$found without venv}; \
		case $$found in 3.11|3.12|3.13) venv=.venv-$$found; break ;; esac; \
		tried="$$tried $$python ($${found:-does not run})"; \
	done; \
	if [ -z "$$venv" ]; then \
		echo "dsnjax needs Python 3.11, 3.12 or 3.13 with venv, but found:$$tried;" >&2; \
		echo "install one (on Debian python3-venv as well), or: make $@ PYTHON=path" >&2; \
		exit 2; \
	fi

# Shell that installs dsnjax$$extras, unless nothing changed since the last time here.
INSTALL = want="$$PWD $$(cat pyproject.toml constraints.txt | cksum)"; \
	stamp="$$venv/installed$$extras"; \
	if ! "$$venv/bin/python" -c '' 2>/dev/null \
			|| [ "$$(cat "$$stamp" 2>/dev/null)" != "$$want" ]; then \
		echo "Installing dsnjax$$extras into $$venv; takes a minute or two, once"; \
		"$$venv/bin/python" -m pip --version >/dev/null 2>&1 \
			|| "$$python" -m venv --clear "$$venv"; \
		"$$venv/bin/python" -m pip install --quiet --quiet --disable-pip-version-check --no-compile \
			--constraint constraints.txt --editable ".$$extras"; \
		echo "$$want" >"$$stamp"; \
		echo "$$want" >"$$venv/installed"; \
	fi

help:
	@sed -n 's/^# \{0,1\}//p;/^$$/q' Makefile

install:
	@$(FIND); extras=; $(INSTALL); \
	echo "Ready: $$venv/bin/dsnjax --help"

quickstart:
	@$(FIND); extras=; $(INSTALL); \
	"$$venv/bin/dsnjax" train --config quickstart --workdir $(RUN); \
	"$$venv/bin/dsnjax" predict --workdir $(RUN) $(RUN)/drawings.ndjson >$(RUN)/predictions.jsonl; \
	echo; \
	echo "The first test drawings and what it sees in them:"; \
	head -n 3 $(RUN)/predictions.jsonl; \
	echo; \
	echo "$(RUN)/drawings.png        drawings as the network is shown them, an image to open"; \
	echo "$(RUN)/evaluation.json     MAP@3, accuracy and confusion on the test drawings"; \
	echo "$(RUN)/metrics.jsonl       every step; config.yaml beside it holds all settings"; \
	echo "$(RUN)/checkpoints/        trained weights, best and latest"; \
	echo "$(RUN)/drawings.ndjson     the same drawings, as rows that predict reads"; \
	echo "$(RUN)/predictions.jsonl   what the model says of them"; \
	echo; \
	echo "Go on with real drawings:"; \
	echo "  $$venv/bin/dsnjax prepare --help"; \
	echo "  $$venv/bin/dsnjax train --help"

test:
	@$(FIND); extras='[dev]'; $(INSTALL); \
	"$$venv/bin/python" -m pytest -q -n auto --maxprocesses=8 --dist loadfile --no-loadscope-reorder \
		$(ARGS)

lint:
	@$(FIND); extras='[dev]'; $(INSTALL); \
	"$$venv/bin/python" -m ruff check --quiet; \
	"$$venv/bin/python" -m ruff format --check --quiet; \
	"$$venv/bin/python" -m pyright --pythonpath "$$venv/bin/python"

clean:
	rm -rf .venv-3.* .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
