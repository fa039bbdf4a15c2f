#!/bin/bash
# pynq's environments, for the simulated board and the notebook: exactly what the lock files say.
#
#   .tools/pynq        pynq 3.1.2, matplotlib, Jupyter's kernel   (hw/driver/requirements.lock)
#   .tools/pynq-3.0.1  pynq 3.0.1, only where a Python 3.10 runs  (hw/driver/requirements-3.0.1.lock)
set -euo pipefail
source flow/setup/common.sh

# environment FOLDER PYTHON LOCK
environment() {
  local folder=$1 python=$2 lock=$3 log=.tools/${1##*/}.log
  # As in python.sh: an interrupted run starts afresh, pip's cache keeps what was downloaded.
  if [ -e "$folder/installing" ] || ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    logged "$log" "$python" -m venv --clear "$folder"
  fi
  "$folder/bin/python" flow/setup/locked.py "$lock" >/dev/null 2>&1 && return
  touch "$folder/installing"
  say "installing $(grep -E '^pynq==' "$lock") and what it needs into $folder"
  local pip=("$folder/bin/python" -m pip install --disable-pip-version-check --no-deps)
  # Off the board pynq leaves out what is compiled for it; its parts are built with what is installed.
  # shellcheck disable=SC2046 # one word for each package
  logged "$log" "${pip[@]}" $(grep -E '^(setuptools|wheel)==' "$lock")
  PYNQ_REMOTE=1 logged "$log" "${pip[@]}" --no-build-isolation --requirement "$lock"
  rm "$folder/installing"
}

# A Python 3.10 that runs (pyenv leaves a name on PATH that may not), if there is one.
python310() {
  local candidate
  for candidate in "${PYTHON310:-python3.10}" \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.10.*/bin/python3.10; do
    "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 10))' \
      >/dev/null 2>&1 && { echo "$candidate"; return; }
  done
  return 1
}

environment .tools/pynq "$PYTHON" hw/driver/requirements.lock
also=
if older=$(python310); then
  environment .tools/pynq-3.0.1 "$older" hw/driver/requirements-3.0.1.lock
  also=", pynq 3.0.1 in .tools/pynq-3.0.1"
fi
say "pynq: 3.1.2 in .tools/pynq$also"
