"""The commands `ptt-appliance doctor` and `devices`.

The doctor checks everything that a box needs and prints each finding with its remedy.
`command` runs all checks in order and prints the findings. `checks` has those of
network, clock, sound cards, key file, token source and server, `sound_cards` names the
card in use and prints the list of `devices`, `panel` opens pins and screen as the box
does, `wifi` is about power saving, and `probes` asks systemd, the running box and the
clocks of servers. Start with `command.findings_of`.
"""
