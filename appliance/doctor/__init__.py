"""The command `ptt-appliance doctor`.

It checks everything that a box needs and prints each finding with its remedy. `command`
runs all checks in order and prints them; `checks` has those of hardware, network, clock
and server, `service` that of the systemd service, and `token_probe` fetches one token
from the configured source. Start with `command.findings_of`.
"""
