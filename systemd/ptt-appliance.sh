#!/bin/sh
# The installed command. run, pair and doctor need what belongs to the appliance's own user, so they run as that user,
# which has neither the caller's variables nor the right to read the caller's files. Everything else runs as the caller;
# `config` without --config reads /etc/ptt-appliance/config.yaml, for which it needs root or the group ptt-appliance.
set -eu
program=/opt/ptt-appliance/venv/bin/ptt-appliance
case ${1-} in
  run | pair | doctor) ;;
  *) exec "$program" "$@" ;;
esac
# Help is for everybody.
for word; do
  case $word in
    -h | --help) exec "$program" "$@" ;;
  esac
done
[ "$(id -u)" -eq 0 ] || exec sudo "$0" "$@"
# lgpio makes a FIFO in LG_WD.
exec runuser --user ptt-appliance -- env STATE_DIRECTORY=/var/lib/ptt-appliance LG_WD=/tmp "$program" "$@"
