"""Sound cards: which ones there are, which ones are used, and their own volume.

`devices` has what PortAudio and the kernel know about the cards, also about those that
PortAudio does not list because a program uses them. `selected_devices` chooses by the
names in the configuration, holds the devices in use and finds better ones.
`card_volume` finds what is wrong in a card's own mixer (`alsa_mixer`), and sets it.

Start reading at `devices.Device`. The folder opens no stream: `audio` does.
"""
