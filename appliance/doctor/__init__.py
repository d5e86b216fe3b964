"""The command `ptt-appliance doctor`.

It checks everything that a box needs and prints each finding with its remedy. `command`
runs all checks in order and prints them; `checks` has those of hardware, network,
clock, token source and server, and `service` that of the systemd service. Start with
`command.findings_of`.
"""
