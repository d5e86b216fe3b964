"""The command `ptt-appliance doctor`.

It checks everything that a box needs and prints each finding with its remedy. `command`
runs all checks in order and prints the findings. `checks` has those of packages,
network, token source and server, `panel` opens pins and screen as the box does,
`service` asks systemd and the running box, `clock` compares with a server's, `wifi` is
about power saving. `probes` asks sound cards and token source as the box does. Start
with `command.findings_of`.
"""
