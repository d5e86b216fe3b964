"""The command `ptt-appliance doctor`.

It checks everything that a box needs and prints each finding with its remedy. `command`
runs all checks in order, has those that call other programs (systemctl, iw), and prints
the findings; `checks` has those of hardware, network, clock, token source and server,
and `panel` opens pins and screen as the box does.
Start with `command.findings_of`.
"""
