#!/usr/bin/env bash
# Sets up what the tests need and runs them all, in four processes. With arguments it runs one pytest with them.
set -euo pipefail
# shellcheck source=systemd/setup.sh
source "$(dirname "${BASH_SOURCE[0]}")/../systemd/setup.sh"

need_64_bit
need_packages "${test_packages[@]}"
# For LiveKit's own JavaScript; other distributors' Node.js brings its own npm.
command -v npm >/dev/null || need_packages npm
set_up_for_development requirements.lock tests/requirements.lock
cd "$repository"
# Made once and kept; inside a test these minutes would look like a hang.
.venv/bin/python -m appliance.demo.livekit_server
.venv/bin/python -m tests.agents.venv
.venv/bin/python -m tests.npm
# Where Python may not write it by itself, each of many processes would compile anew.
.venv/bin/python -m compileall -q appliance tests
if [[ $# -gt 0 ]]; then
  exec .venv/bin/python -m pytest "$@"
fi
exec .venv/bin/python -m tests.parallel
