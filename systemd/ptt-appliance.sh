#!/bin/sh
# The installed command. run, pair and doctor need files and devices of the user ptt-appliance, so they run as that
# user, without access to the caller's files and, unless the caller is root, without the caller's variables. So does
# `config check` of root's, which must find that this user cannot read the file. Everything else runs as the caller;
# `config` without --config reads /etc/ptt-appliance/config.yaml, which needs root or the group ptt-appliance.
set -eu
program=/opt/ptt-appliance/venv/bin/ptt-appliance
# The packages are for one version of Python, which an upgrade of the system replaces.
venv=${program%/bin/*}
python=$(readlink -f "$venv/bin/python") || true
if [ -n "$python" ] && [ ! -d "$venv/lib/${python##*/}" ]; then
  echo "This system has ${python##*/} now, and the packages are for another version." \
    "In the clone of the repository, run: sudo bash systemd/install.sh" >&2
  exit 1
fi
# The services begin with this, so that their log says it too.
[ "${1-}" != check-python ] || exit 0
case ${1-} in
  run | pair | doctor) ;;
  *)
    case ${PTT_APPLIANCE_CONFIG-}$* in
      "config check" | "config check --json") [ "$(id -u)" -eq 0 ] || exec "$program" "$@" ;;
      *) exec "$program" "$@" ;;
    esac
    ;;
esac
# Help needs no root.
for word; do
  case $word in
    -h | --help) exec "$program" "$@" ;;
  esac
done
[ "$(id -u)" -eq 0 ] || exec sudo "$0" "$@"
# lgpio makes a FIFO in LG_WD.
exec runuser --user ptt-appliance -- env STATE_DIRECTORY=/var/lib/ptt-appliance LG_WD=/tmp "$program" "$@"
