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
# Longest time in which a service that is ready loads the rest of the program; our choice, for a small Pi.
trial_s=10
# "systemctl enable" makes a link to the unit here.
wants=/etc/systemd/system/multi-user.target.wants
# What an upgrade replaces and roll_back puts back; the rest of a version is in its own folder.
replaced=("$programs/venv" "$unit" "$launcher" "$token_unit" "$etc/reference.yaml" "$etc/token-server.reference.yaml"
  "$wants/$service.service" "$wants/$token_service.service")
# The appliance must be able to read the installed files, whatever the umask of root is.
umask 022
# Downloads in pip's cache would fill the card, and stay there after --remove.
export PIP_NO_CACHE_DIR=1

main() {
  [[ $EUID -eq 0 ]] || fail "Root is needed. Run: sudo bash systemd/install.sh" "$@"
  case "$*" in
    "") install_all ;;
    --token-server) install_token_server ;;
    --remove)
      remove
      say "Kept: $etc and $state (add --purge to remove them too)"
      ;;
    "--remove --purge")
      remove
      purge
      ;;
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
    was_stopped "$token_service" || services+=("$token_service")
  fi
  start "${services[@]}"
  say "Installed. The configuration is $etc/config.yaml, with every key in reference.yaml beside it."
  say "After a change: sudo $service config check && sudo systemctl restart $service"
  say "State: systemctl status $service.  Diagnosis: sudo $service doctor"
  ! systemctl is-active --quiet "$service" 2>/dev/null || say "Web page: sudo $service pair"
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
    was_stopped "$service" || services+=("$service")
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

# keep_version: copies of what the upgrade replaces, and the states of the services, for roll_back.
keep_version() {
  local file name
  # Beside the versions: moving a file back from here works on a full disk too.
  before=$programs/.before
  is_half_done=
  incomplete=
  trap leave EXIT
  # Not bash's own way to leave: a closed terminal sends several signals, and the second would end it at once.
  trap 'ignore_signals; exit 1' HUP INT PIPE TERM
  rm -rf "$before"
  mkdir -p "$before"
  for file in "${replaced[@]}"; do
    exists "$file" || continue
    mkdir -p "$before${file%/*}"
    cp -a "$file" "$before$file"
  done
  declare -gA states
  for name in "$service" "$token_service"; do
    states[$name]=$(has_systemd && systemctl is-active "$name") || true
  done
}

# leave: at the end of the script, also if a command fails, Ctrl-C is pressed or the terminal is closed.
leave() {
  ignore_signals
  [[ -z $is_half_done ]] || roll_back
  rm -rf "$before"
  [[ -z $incomplete ]] || remove_incomplete
}

# remove_incomplete: the card may be full of what was downloaded so far.
remove_incomplete() {
  rm -rf "$incomplete"
  say "What was downloaded so far is removed; its space is free again."
}

ignore_signals() { trap '' HUP INT PIPE TERM; }

# exists FILE: also if it is a link to nothing.
exists() { [[ -L $1 || -e $1 ]]; }

was_running() { [[ ${states[$1]} == active ]]; }

# was_stopped SERVICE: by its owner, or it is new. One that has failed may run in another version.
was_stopped() { [[ ${states[$1]} == inactive ]]; }

# install_program: each version in its own folder, so that the version before is whole until the new one runs.
install_program() {
  local folder
  folder=$programs/$(version)
  if [[ ! -e $folder/.complete ]] || ! is_whole "$folder"; then
    if [[ $folder -ef $programs/venv ]]; then
      # In place: without a network the rest goes on working. See install_locked for the variable.
      say "Packages in $folder are damaged; installing them again"
      rm -f "$folder"/.complete "$folder"/.????????
      export PIP_IGNORE_INSTALLED=1
    else
      rm -rf "$folder"
      incomplete=$folder
    fi
    make_venv "$folder"
    install_locked "$folder" "$repository/requirements.lock"
    install_project "$folder"
    touch "$folder/.complete"
    incomplete=
  fi
  # A first installation that ends early stays as it is: the next run goes on with it.
  [[ ! -e $before$programs/venv ]] || is_half_done=1
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
  [[ -e $etc/config.yaml ]] || install -m 0640 "$repository/systemd/config.yaml" "$etc/config.yaml"
  # Also if somebody has edited it as a copy of his own.
  chgrp "$service" "$etc/config.yaml"
  chmod g+r "$etc/config.yaml"
}

install_service() {
  install -m 0644 "$repository/systemd/$service.service" "$unit"
  install -m 0755 "$repository/systemd/$service.sh" "$launcher"
}

# start SERVICE...: with the new version. systemd waits until each says that it is ready. The version before is kept
# unless all are, and stay so.
start() {
  local name run kept=
  local -A runs=()
  # A power cut during the trial leaves either version, and no empty file.
  write_to_disk
  if ! has_systemd; then
    say "systemd is not running here. Starting at the next boot: $*"
  else
    systemctl daemon-reload
    for name in "$@"; do
      # Not in one "$(…)": a Ctrl-C that falls between two programs would only reach that subshell, which ignores it.
      if systemctl restart "$name" 2>/dev/null && run=$(run_of "$name"); then
        runs[$name]=$run
      else
        does_not_run "$name"
      fi
    done
    [[ ${#runs[@]} -eq 0 ]] || sleep "$trial_s"
    for name in "${!runs[@]}"; do
      [[ $(run_of "$name") == "${runs[$name]}" ]] || does_not_run "$name"
    done
  fi
  is_half_done=
  remove_old_programs "$kept"
}

# run_of SERVICE: the number of its restarts by systemd; fails unless it runs.
run_of() { systemctl is-active --quiet "$1" && systemctl show --property=NRestarts --value "$1"; }

# does_not_run SERVICE: in the new version; the upgrade ends if it ran in the version before.
does_not_run() {
  kept=$before$programs/venv
  explain_failure "$1"
  ! was_running "$1" || exit 1
}

# explain_failure SERVICE: the configuration of a new box has no room yet, and the check says what to write.
explain_failure() {
  say "$1 does not run yet:"
  [[ $1 != "$service" ]] || "$launcher" config check || true
  say "Its log: journalctl -u $1 -n 20 --no-pager"
}

# roll_back: put the version before and the states of the services back.
roll_back() {
  local file name new end=
  # To its end, even if something fails or nobody is there to read what it says.
  set +e
  say "The version before is put back."
  new=$(realpath "$programs/venv")
  for name in "${!states[@]}"; do
    ! was_stopped "$name" || systemctl stop "$name" 2>/dev/null
  done
  for file in "${replaced[@]}"; do
    if exists "$before$file"; then
      mv -T "$before$file" "$file"
    else
      rm -f "$file"
    fi
  done
  ! has_systemd || systemctl daemon-reload
  for name in "$service" "$token_service"; do
    if ! has_systemd || was_stopped "$name"; then
      continue
    elif systemctl restart "$name" 2>/dev/null; then
      end=${end:- The version before runs again.}
    elif [[ ${states[$name]} != failed ]]; then
      end=" The version before does not run either."
      explain_failure "$name"
    fi
  done
  remove_old_programs "$new"
  say "Not upgraded.$end"
}

has_systemd() { [[ -d /run/systemd/system ]]; }

# write_to_disk: what is installed. Not every file system: one of the network or a bad USB stick may not answer.
write_to_disk() { sync --file-system "$programs" "$etc" "${unit%/*}" "${launcher%/*}"; }

# remove_old_programs FOLDER: all versions but the one in use and this one.
remove_old_programs() {
  local folder
  # What replaces them must survive a power cut first.
  write_to_disk
  for folder in "$programs"/*/; do
    [[ $folder -ef $programs/venv || $folder -ef $1 ]] || rm -r "${folder%/}"
  done
}

remove() {
  local name
  for name in "$service" "$token_service"; do
    # Each fails if there is no such service.
    systemctl stop "$name" 2>/dev/null || true
    systemctl disable --quiet "$name" 2>/dev/null || true
    ! has_systemd || has_ended "$name" || fail "$name does not stop. See: systemctl status $name"
  done
  rm -rf "$unit" "$wants/$service.service" "$launcher" "$programs"
  rm -rf "$token_unit" "$wants/$token_service.service"
  ! has_systemd || systemctl daemon-reload
  say "Removed the program."
}

# has_ended SERVICE: false also if systemd does not answer.
has_ended() { [[ $(systemctl is-active "$1") =~ ^(inactive|failed|unknown)$ ]]; }

purge() {
  # "systemctl edit" makes the last two.
  rm -rf "$etc" "$state" "$unit.d" "$token_unit.d"
  ! has_systemd || systemctl daemon-reload
  ! id "$service" >/dev/null 2>&1 || userdel "$service"
  say "Removed the configuration, the state and the user as well"
}

main "$@"
