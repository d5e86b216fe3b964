#!/bin/sh
# The installed command: runs as the appliance's own user, because what it keeps belongs to that user.
set -eu
[ "$(id -u)" -eq 0 ] || exec sudo "$0" "$@"
# lgpio makes a FIFO in LG_WD.
exec runuser --user ptt-appliance -- env STATE_DIRECTORY=/var/lib/ptt-appliance LG_WD=/tmp \
  /opt/ptt-appliance/venv/bin/ptt-appliance "$@"
