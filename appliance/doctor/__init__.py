"""The commands `ptt-appliance doctor` and `devices`.

The doctor checks everything that a box needs and prints each finding with its remedy.
`command` runs all checks in order, those of service and tokens itself, and prints the
findings. `checks` has those of network, clock, key file, token source and server;
`hardware` those of sound cards, screen, pins and Wi-Fi. `devices` lists the cards for
the command of that name. Start with `command.findings_of`.
"""
