# shellcheck shell=bash
# Functions for installation, demo and tests: Debian packages and a virtual environment.
# Sourced by systemd/install.sh, appliance/demo/try.sh and tests/run.sh; each step is skipped if it is already done.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Without python3-systemd there is no journal; libportaudio2 brings ALSA, whatever its name in this release.
# Pillow loads libfribidi0 for right-to-left text.
run_packages=(ca-certificates libfribidi0 libportaudio2 python3 python3-systemd python3-venv)
# The tests compile a virtual sound card, open the page in a browser, emulate a bad link with network namespaces and
# verify the unit with systemd. Without any font Chromium draws boxes instead of letters.
# shellcheck disable=SC2034 # used by tests/run.sh
test_packages=("${run_packages[@]}" chromium fonts-dejavu-core gcc iproute2 iptables libasound2-dev libc6-dev
  pkg-config procps shellcheck systemd)

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$@"
  exit 1
}

# need_64_bit: LiveKit's library exists for amd64 and arm64 only.
need_64_bit() {
  command -v dpkg >/dev/null ||
    fail "This needs Debian 12, Debian 13 or 64-bit Raspberry Pi OS; there is no dpkg here."
  case $(dpkg --print-architecture) in
    amd64 | arm64) ;;
    *) fail "This system is $(dpkg --print-architecture), and LiveKit's library exists for 64 bits only." \
      "Write the 64-bit Raspberry Pi OS (bookworm or trixie) to the SD card and run this again." ;;
  esac
}

# need_packages NAME...: install the missing ones.
need_packages() {
  local missing=() name
  for name in "$@"; do
    is_installed "$name" || missing+=("$name")
  done
  [[ ${#missing[@]} -eq 0 ]] && return
  local install=(apt-get install --yes --no-install-recommends "${missing[@]}")
  may_be_root ||
    fail "These Debian packages are missing, and installing them needs root or sudo. As root, run:" \
      $'\n'"  ${install[*]}"$'\n'"then run this again."
  say "Installing Debian packages: ${missing[*]}"
  # The package lists may be missing or too old; fetching them is slow on a Pi, so it is done only if this fails.
  as_root "${install[@]}" >/dev/null 2>&1 && return
  local words
  # The output of apt is shown only if it fails.
  words=$({ as_root apt-get update -qq && as_root "${install[@]}"; } 2>&1) && return
  say "$(tail -n 20 <<<"$words")"
  fail "The Debian packages could not be installed; apt says why above. Check the network and free space" \
    "(df -h), then run this again."
}

is_installed() {
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# may_be_root: true if as_root can work; sudo asks for a password on a terminal only.
may_be_root() {
  [[ $EUID -eq 0 ]] && return
  command -v sudo >/dev/null || return
  sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }
}

as_root() {
  # A new system may be installing its own updates: wait for them.
  local command=(env DEBIAN_FRONTEND=noninteractive "$@")
  [[ $1 == apt-get ]] && command+=(-o DPkg::Lock::Timeout=300)
  [[ $EUID -eq 0 ]] || command=(sudo "${command[@]}")
  "${command[@]}"
}

# make_venv FOLDER: with the distribution's Python, which python3-systemd and python3-lgpio are built for. Like every
# Python here it is isolated (-I): root must not run a module from the current folder, and no variable adds another.
make_venv() {
  local python=/usr/bin/python3 wanted
  "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed, and $python is $("$python" --version)." \
      "Debian 12 and Raspberry Pi OS bookworm have it: upgrade the system, then run this again."
  # A virtual environment contains its own path, so it cannot be moved.
  wanted="$("$python" --version) in $1"
  [[ $(cat "$1/.python" 2>/dev/null) == "$wanted" ]] && return
  say "Creating a virtual environment in $1"
  "$python" -I -m venv --clear --system-site-packages "$1" ||
    fail "$1 could not be created; Python says why above. Check free space (df -h), then run this again."
  echo "$wanted" >"$1/.python"
}

# is_whole FOLDER: true if the packages of an appliance's virtual environment can be imported; a file may be damaged,
# removed or, after a power cut, empty.
is_whole() {
  "$1/bin/python" -I - >/dev/null 2>&1 <<'END'
from appliance.app import run
from appliance.assembly import adapters
from appliance.cli import program
from appliance.metrics.exposition import prometheus_text
from appliance.page.application import WebServer
from appliance.panel.screen import Screen
from appliance.token_server.server import serve
import gpiozero, httpx, livekit.rtc, luma.oled, msgspec, numpy, PIL.Image, prometheus_client
import _sounddevice, segno, smbus2, soxr, starlette, uvicorn, websockets, yaml
END
}

# install_locked FOLDER LOCK_FILE: install exactly the versions of the lock file, or nothing.
# Debian's packages are hidden meanwhile: pip takes one of the same version for installed, and apt may remove it later.
install_locked() {
  local done_file wanted venv=$1
  done_file=$1/.$(sha256sum <<<"$2" | cut -c1-8)
  wanted=$(sha256sum <"$2")
  [[ $(cat "$done_file" 2>/dev/null) == "$wanted" ]] && return
  say "Installing Python packages from ${2#"$repository"/};" \
    "half a minute on a PC, some minutes on a small Pi"
  (
    # Also if pip fails or Ctrl-C ends it: an appliance that does not see them has neither pins nor journal.
    trap 'show_system_packages "$venv" true' EXIT
    # In place of a running appliance pip ignores them by itself, so that a power cut does no harm. "exit", because bash
    # would go on: "set -e" has no effect in front of ||.
    [[ -n ${PIP_IGNORE_INSTALLED-} ]] || show_system_packages "$venv" false || exit
    without_silent_indexes "$venv"
    pip_in "$venv" --require-hashes --only-binary :all: --requirement "$2"
  ) || fail "The Python packages could not be installed; pip says why above, or it took longer than half an hour. Check" \
    "the network, the package indexes (pip config list) and free space (df -h), then run this again."
  echo "$wanted" >"$done_file"
}

# without_silent_indexes FOLDER: pip would wait for them once for each package, and say nothing.
without_silent_indexes() {
  local words
  words=$("$1/bin/python" -I "$repository/systemd/pip_indexes.py") || return 0
  eval "$words"
}

# show_system_packages FOLDER true|false: show Debian's Python packages in the virtual environment, or hide them.
show_system_packages() {
  sed -i "s/^\(include-system-site-packages = \).*/\1$2/" "$1/pyvenv.cfg"
}

# install_project FOLDER [--editable]: install the project itself; its dependencies are installed already.
install_project() {
  pip_in "$1" --no-index --no-build-isolation "${@:2}" "$repository" ||
    fail "The project itself could not be installed; pip says why above."
}

# The lock files contain every dependency, so pip resolves none. An index may fall silent meanwhile. The callers mark the
# folder as done afterwards; without "sync" a power cut would leave that mark on empty files.
pip_in() {
  PIP_USER=0 timeout --foreground 1800 "$1/bin/python" -I -m pip install --quiet --disable-pip-version-check \
    --no-deps --timeout 15 --retries 2 "${@:2}" &&
    sync --file-system "$1"
}

# set_up_for_development LOCK_FILE...: the .venv of the repository, with an editable installation.
set_up_for_development() {
  local venv=$repository/.venv lock wanted
  [[ ! -e $venv || -w $venv ]] ||
    fail "$venv belongs to another user. Remove it (sudo rm -r $venv) and run this again."
  make_venv "$venv"
  for lock in "$@"; do
    install_locked "$venv" "$repository/$lock"
  done
  wanted=$(sha256sum <"$repository/pyproject.toml")
  [[ $(cat "$venv/.project" 2>/dev/null) == "$wanted" ]] && return
  install_project "$venv" --editable
  echo "$wanted" >"$venv/.project"
}
