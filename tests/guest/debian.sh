# shellcheck shell=bash
# Functions that use another release of Debian than the host's, with the host's mirror and apt. Sourced by kernel.sh and image.sh.

# debian_mirror: the mirror that this host uses.
debian_mirror() {
  apt-get indextargets --format "\$(SITE)" 'Created-By: Packages' | grep --max-count=1 '/debian/\?$' ||
    fail "No mirror of Debian is configured on this host."
}

# use_debian SUITE FOLDER: fetches the package lists of a suite into FOLDER; the host's own lists stay as they are.
use_debian() {
  local folder=$2
  mkdir -p "$folder/lists/partial" "$folder/empty"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_mirror) $1 main" >"$folder/sources.list"
  : >"$folder/status"
  apt_options=(-o "Dir::Etc::SourceList=$folder/sources.list" -o "Dir::Etc::SourceParts=$folder/empty"
    -o "Dir::State::Lists=$folder/lists" -o "Dir::State::status=$folder/status"
    -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache=" -o APT::Sandbox::User=root)
  debian_apt-get update -qq
}

debian_apt-get() { apt-get "${apt_options[@]}" "$@"; }
debian_apt-cache() { apt-cache "${apt_options[@]}" "$@"; }
