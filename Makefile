# make demo   plan, train and receipt on this machine, with what the repository ships
# make test   every check and every test
# make thorough  the same, with every case of the laws that are wide
# make docs   the generated pages of docs/
# make guides the hardware guides of docs/guides
# make atlas  the shipped tapes that are missing or of other versions
# Each makes its own environment in .venv; nothing else has to be installed but Python 3.11+ and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test thorough check docs guides atlas clean

demo: $(VENV)/.train
	$(BIN)/finefit train examples/quickstart.yaml
	@run=$$(ls -dt runs/quickstart-* | head -1); ask='What happens when I call `ftplib.FTP.sendcmd(cmd)`?'; \
	  echo; echo "A question that it was not trained on: $$ask"; \
	  echo "before:"; $(BIN)/finefit generate $$run --base --max-new-tokens 24 --prompt "$$ask"; \
	  echo "after:"; $(BIN)/finefit generate $$run --max-new-tokens 24 --prompt "$$ask"

test: check
	$(BIN)/pytest -n 2 --dist loadgroup

thorough: check
	$(BIN)/pytest -n 2 --dist loadgroup --thorough

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/python docs/make.py

guides: $(VENV)/.dev
	$(BIN)/python docs/guides.py

atlas: $(VENV)/.dev
	$(BIN)/python validation/atlas.py

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.train: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("finefit needs Python 3.11 or later; say make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@echo "installing torch, transformers, TRL and PEFT into $(VENV) (some minutes the first time)"
	$(PIP) --editable '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.train
	$(PIP) --editable '.[train,dev]'
	@touch $@
