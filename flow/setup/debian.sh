#!/bin/bash
# The FPGA tools into .tools/debian: a Debian testing root of their own, which flow/tools.py enters.
# Runs as root. Built beside its place and renamed at the end, so a half one is never used.
set -euo pipefail
source flow/setup/common.sh

if [ -d .tools/debian ] && has_packages .tools/debian; then
  say "FPGA tools: .tools/debian is there"
  exec "$PYTHON" -m flow.versions .tools/debian
fi

mirror=$(find_mirror)
say "FPGA tools: Debian $SUITE from $mirror into .tools/debian (160 MB to download, half a minute" \
  "to some minutes; log: .tools/debian.log)"
rm -rf --one-file-system .tools/debian.new
apt_options >.tools/apt.conf
logged .tools/debian.log mmdebstrap --mode=root --variant=minbase --format=directory \
  --aptopt="$PWD/.tools/apt.conf" --include="$(tool_packages | tr ' ' ',')" \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  "$SUITE" .tools/debian.new "$mirror"
"$PYTHON" -m flow.versions .tools/debian.new
rm -rf --one-file-system .tools/debian
mv .tools/debian.new .tools/debian
