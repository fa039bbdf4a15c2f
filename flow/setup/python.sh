#!/bin/bash
# Python packages into .venv, exactly those of requirements.lock.
set -euo pipefail
source flow/setup/common.sh

# A package that was half installed looks installed to pip: an interrupted run starts afresh.
# pip's cache keeps what was downloaded.
if [ -e .venv/installing ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  say "creating .venv with $("$PYTHON" -V)"
  logged .tools/venv.log "$PYTHON" -m venv --clear .venv
fi

if ! .venv/bin/python "$PWD/flow/setup/locked.py" requirements.lock >/dev/null 2>&1; then
  touch .venv/installing
  say "installing $(.venv/bin/python flow/setup/locked.py requirements.lock | wc -l) Python" \
    "packages (torch's CPU build where pip sees one; TORCH_INDEX names an index that has it)"
  pip=(.venv/bin/python -m pip install --disable-pip-version-check
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"})
  # torch by itself and with what it depends on: its CUDA build needs packages that are not in the
  # lock, its CPU build needs none of them.
  torch=$(grep -E '^torch==' requirements.lock)
  logged .tools/pip-torch.log "${pip[@]}" --constraint requirements.lock "$torch"
  logged .tools/pip.log "${pip[@]}" --no-deps --requirement requirements.lock
fi
# hanbit itself, so that .venv/bin/hanbit runs this folder's sources.
logged .tools/pip-hanbit.log .venv/bin/python -m pip install --disable-pip-version-check \
  --no-deps --no-build-isolation --editable .
rm -f .venv/installing
say "Python: $(.venv/bin/python -V), torch $(.venv/bin/python -c '
import importlib.metadata as m; print(m.version("torch"))'), hanbit in .venv/bin"
