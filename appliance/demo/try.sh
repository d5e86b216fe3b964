#!/usr/bin/env bash
# Installs what the demo needs and starts it; later runs start at once. Arguments go to `ptt-appliance demo`.
set -euo pipefail
# shellcheck source=systemd/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../systemd/setup.sh"

need_64_bit
need_packages "${run_packages[@]}"
set_up_for_development requirements.lock
exec "$repository/.venv/bin/ptt-appliance" demo "$@"
