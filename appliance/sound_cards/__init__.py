"""Sound cards: which ones there are, which ones are used, and their own volume.

`devices` has what PortAudio and the kernel know about a card, and chooses one by the
names in the configuration; `alsa_devices` finds the cards that PortAudio does not list
because a program uses them. `selected_devices` holds those in use and finds better
ones. `card_volume` finds what is wrong in a card's own mixer (`alsa_mixer`), and sets
it.

Start reading at `devices.Device`. The folder opens no stream: `audio` does.
"""
