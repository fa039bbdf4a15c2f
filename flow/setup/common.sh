# shellcheck shell=bash disable=SC2034,SC2016
# Shared by the setup scripts: where things are, how to speak, where Debian's mirror is.
# Sourced with the repository root as working directory.

readonly SUITE=forky          # Debian testing; holds nextpnr-himbaechel-xilinx and prjxray
readonly PYTHON=${PYTHON:-python3}
readonly HERE=flow/setup

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 2; }

# Run a command with its output in a log; on failure show the log's end and stop.
logged() {
  local log=$1; shift
  "$@" >"$log" 2>&1 </dev/null || {
    local status=$?
    tail -n 15 "$log" >&2
    die "\`$1\` ended with status $status, see $log; \`make setup\` goes on from here"
  }
}

tool_packages() { sed 's/#.*//' "$HERE/packages.txt" | xargs; }

# True where a root holds every package of packages.txt.
has_packages() {
  local package
  for package in $(tool_packages); do
    grep -qsx "Package: $package" "$1/var/lib/dpkg/status" || return 1
  done
}

# Install what is missing of the host's own packages: `need COMMAND-THAT-PROVES-IT PACKAGE`.
need() {
  eval "$1" >/dev/null 2>&1 && return
  [ "$(id -u)" = 0 ] || die "$2 is missing: install it with \`apt-get install $2\` as root"
  say "installing Debian package $2 on this machine"
  refresh_apt
  DEBIAN_FRONTEND=noninteractive logged .tools/apt.log \
    apt-get install --yes --no-install-recommends "$2"
}

# Fetch the host's package lists once; a broken third-party source must not stop us.
refresh_apt() {
  [ -n "${apt_is_fresh:-}" ] && return
  apt-get update >.tools/apt.log 2>&1 || true
  apt_is_fresh=yes
}

# The mirror of Debian's main archive, as this machine's own apt is set up.
debian_mirror() {
  if [ -n "${DEBIAN_MIRROR:-}" ]; then echo "$DEBIAN_MIRROR"; return; fi
  apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(COMPONENT)' \
    'Identifier: Packages' 2>/dev/null |
    awk -F'|' '$2 == "Debian" && $3 == "Debian" && $4 == "main" { print $1; exit }'
}

find_mirror() {
  local mirror
  mirror=$(debian_mirror)
  if [ -z "$mirror" ] && [ "$(id -u)" = 0 ]; then refresh_apt; mirror=$(debian_mirror); fi
  [ -n "$mirror" ] ||
    die "this machine's apt knows no Debian archive: set DEBIAN_MIRROR to a mirror's URL"
  echo "$mirror"
}

# Options for a foreign suite: the host's own way out (proxy, certificates), and mirrors that are
# frozen copies are accepted, since the versions of the tools are checked by name afterwards.
apt_options() {
  apt-config dump | grep -E '^Acquire::https?::' || true
  echo 'Acquire::Check-Valid-Until "false";'
  echo 'Acquire::Check-Date "false";'
}
