#!/usr/bin/env bash
# Installs the appliance as a service on 64-bit Raspberry Pi OS or Debian (bookworm, trixie).
#
#   sudo bash systemd/install.sh                    install or upgrade; an existing configuration is kept
#   sudo bash systemd/install.sh --token-server     install or upgrade the token server, without the appliance
#   sudo bash systemd/install.sh --remove           remove; keeps configuration and state
#   sudo bash systemd/install.sh --remove --purge   remove everything
set -euo pipefail
# shellcheck source=systemd/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

service=ptt-appliance
programs=/opt/$service
etc=/etc/$service
state=/var/lib/$service
unit=/etc/systemd/system/$service.service
launcher=/usr/local/bin/$service
token_service=ptt-token-server
token_unit=/etc/systemd/system/$token_service.service
groups=(audio gpio i2c)
# What an upgrade replaces and roll_back puts back; the rest of a version is in its own folder.
replaced=("$programs/venv" "$unit" "$launcher" "$token_unit" "$etc/reference.yaml" "$etc/token-server.reference.yaml")
# The appliance must be able to read the installed files, whatever the umask of root is.
umask 022

main() {
  [[ $EUID -eq 0 ]] || fail "Root is needed. Run: sudo bash systemd/install.sh" "$@"
  case "$*" in
    "") install_all ;;
    --token-server) install_token_server ;;
    --remove) remove && say "Kept: $etc and $state (add --purge to remove them too)" ;;
    "--remove --purge") remove && purge ;;
    *)
      say "Usage: sudo bash systemd/install.sh [--token-server | --remove [--purge]]"
      exit 2
      ;;
  esac
}

install_all() {
  local services=("$service")
  need_64_bit
  need_packages "${run_packages[@]}" systemd
  need_lgpio
  enable_i2c
  make_user
  keep_version
  install_program
  install_config
  install_service
  systemctl enable --quiet "$service"
  if [[ -e $token_unit ]]; then
    install_token_service
    services+=("$token_service")
  fi
  start "${services[@]}"
  say "Installed. The configuration is $etc/config.yaml, with every key in reference.yaml beside it."
  say "After a change: sudo systemctl restart $service"
  say "State: systemctl status $service.  Diagnosis: sudo $service doctor.  Web page: sudo $service pair"
}

# install_token_server: on the machine of the LiveKit server, or on any other. Where the appliance is installed too, it
# is upgraded with it.
install_token_server() {
  local services=("$token_service")
  need_64_bit
  need_packages "${run_packages[@]}" systemd
  keep_version
  install_program
  install_token_service
  systemctl enable --quiet "$token_service"
  if [[ -e $unit ]]; then
    install_config
    install_service
    ! was_running "$service" || services+=("$service")
  fi
  start "${services[@]}"
  say "Installed. Write $etc/token-server.yaml (every key: token-server.reference.yaml beside it), and each secret into" \
    "a file of its own: $etc/token-server/LIVEKIT_URL, LIVEKIT_API_KEY, LIVEKIT_API_SECRET"
  say "Then: sudo systemctl restart $token_service.  Its log: journalctl -u $token_service"
}

install_token_service() {
  install_token_config
  install -m 0644 "$repository/systemd/$token_service.service" "$token_unit"
  install -m 0755 "$repository/systemd/$service.sh" "$launcher"
}

# install_token_config: readable for root only; systemd hands the files to the service.
install_token_config() {
  [[ -d $etc ]] || install -d -m 0755 "$etc"
  install -m 0644 "$repository/systemd/token-server.yaml" "$etc/token-server.reference.yaml"
  install -d -m 0700 "$etc/token-server"
  [[ -e $etc/token-server.yaml ]] && return
  install -m 0600 /dev/stdin "$etc/token-server.yaml" <<'END'
# Configuration of the token server. Write only what differs from the defaults; every key
# is explained in token-server.reference.yaml beside this file.
rooms: [kitchen]
END
}

# need_lgpio: it is in Raspberry Pi OS and not in every Debian.
need_lgpio() {
  # A new system has no package lists yet.
  compgen -G "/var/lib/apt/lists/*_Packages*" >/dev/null || apt-get update -qq
  if apt-cache show python3-lgpio >/dev/null 2>&1; then
    need_packages python3-lgpio
  else
    say "There is no python3-lgpio in this system, so buttons and lamps will not work; Raspberry Pi OS has it."
  fi
}

enable_i2c() {
  command -v raspi-config >/dev/null || return 0
  [[ $(raspi-config nonint get_i2c) == 0 ]] && return
  say "Enabling I2C for the screen"
  raspi-config nonint do_i2c 0 || say "I2C could not be enabled. For a screen, run: sudo raspi-config"
}

# make_user: a user of its own, in the groups of the devices only; plain Debian lacks some of these groups.
make_user() {
  local group
  for group in "${groups[@]}"; do
    groupadd --system --force "$group"
  done
  id "$service" >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --home-dir "$state" --shell /usr/sbin/nologin "$service"
  # Added to those that the owner has given it.
  usermod --append --groups "$(IFS=, && echo "${groups[*]}")" "$service"
  # The unit makes it too, but not before the first start; "pair" and "doctor" may come earlier.
  install -d -m 0700 -o "$service" -g "$service" "$state"
}

# keep_version: copies of what the upgrade replaces, and the names of the services that run, for roll_back.
keep_version() {
  local file name
  before=$(mktemp -d)
  trap 'rm -rf "$before"' EXIT
  running=()
  for file in "${replaced[@]}"; do
    [[ -e $file ]] || continue
    mkdir -p "$before${file%/*}"
    cp -a "$file" "$before$file"
  done
  for name in "$service" "$token_service"; do
    ! { has_systemd && systemctl is-active --quiet "$name"; } || running+=("$name")
  done
}

was_running() { [[ " ${running[*]} " == *" $1 "* ]]; }

# install_program: each version in its own folder, so that the version before is whole until the new one runs.
install_program() {
  local folder
  folder=$programs/$(version)
  if [[ -e $folder/.complete ]] && ! is_whole "$folder"; then
    # In place: without a network the rest goes on working. See install_locked for the variable.
    say "Packages in $folder are damaged; installing them again"
    rm -f "$folder"/.complete "$folder"/.????????
    export PIP_IGNORE_INSTALLED=1
  fi
  if [[ ! -e $folder/.complete ]]; then
    mkdir -p "$programs"
    make_venv "$folder"
    install_locked "$folder" "$repository/requirements.lock"
    install_project "$folder"
    touch "$folder/.complete"
  fi
  ln -sfn "$folder" "$programs/next"
  mv -T "$programs/next" "$programs/venv"
}

# version: a hash of everything that is installed.
version() {
  (
    cd "$repository"
    /usr/bin/python3 --version
    find appliance systemd/setup.sh systemd/pip_indexes.py config.yaml pyproject.toml requirements.lock -type f -not -name '*.pyc' -print0 |
      sort --zero-terminated | xargs --null sha256sum
  ) | sha256sum | cut -c1-12
}

# install_config: readable for root and the appliance only, because it may hold a token. The configuration begins
# without keys: a full copy of the reference would keep the defaults of this version after an upgrade.
install_config() {
  install -d -m 0750 -o root -g "$service" "$etc"
  install -m 0640 -o root -g "$service" "$repository/config.yaml" "$etc/reference.yaml"
  [[ -e $etc/config.yaml ]] || install -m 0640 -o root -g "$service" "$repository/systemd/config.yaml" "$etc/config.yaml"
}

install_service() {
  install -m 0644 "$repository/systemd/$service.service" "$unit"
  install -m 0755 "$repository/systemd/$service.sh" "$launcher"
}

# start SERVICE...: with the new version. systemd waits until each says that it is ready. The folders of other versions
# are removed only if all are.
start() {
  local name is_ready=1
  if ! has_systemd; then
    say "systemd is not running here: $* starts at the next boot."
  else
    systemctl daemon-reload
    for name in "$@"; do
      systemctl restart "$name" 2>/dev/null && continue
      is_ready=
      explain_failure "$name"
      ! was_running "$name" || roll_back
    done
  fi
  [[ -z $is_ready ]] || remove_old_programs
}

# explain_failure SERVICE: the configuration of a new box has no room yet, and the check says what to write.
explain_failure() {
  say "$1 does not run yet:"
  [[ $1 != "$service" ]] || "$launcher" config check || true
  say "Its log: journalctl -u $1 -n 20 --no-pager"
}

# roll_back: put the version before back, restart what ran with it, and fail.
roll_back() {
  local file name end="The version before runs again."
  say "It ran before the upgrade: the version before is put back."
  for file in "${replaced[@]}"; do
    [[ -L $before$file || -e $before$file ]] || continue
    cp -a "$before$file" "$file.before"
    mv -T "$file.before" "$file"
  done
  systemctl daemon-reload
  for name in "${running[@]}"; do
    systemctl restart "$name" 2>/dev/null && continue
    end="The version before does not run either."
    explain_failure "$name"
  done
  fail "Not upgraded. $end"
}

has_systemd() { [[ -d /run/systemd/system ]]; }

remove_old_programs() {
  local folder
  for folder in "$programs"/*/; do
    [[ $(realpath "$folder") == $(realpath "$programs/venv") ]] || rm -r "${folder%/}"
  done
}

remove() {
  # Fails if it has been removed before.
  systemctl disable --quiet --now "$service" "$token_service" 2>/dev/null || true
  rm -rf "$unit" "/etc/systemd/system/multi-user.target.wants/$service.service" "$launcher" "$programs"
  rm -rf "$token_unit" "/etc/systemd/system/multi-user.target.wants/$token_service.service"
  ! has_systemd || systemctl daemon-reload
  say "Removed the program."
}

purge() {
  rm -rf "$etc" "$state"
  ! id "$service" >/dev/null 2>&1 || userdel "$service"
  say "Removed the configuration, the state and the user as well"
}

main "$@"
