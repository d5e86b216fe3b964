"""Sound cards: which ones there are, which ones are used, and their own volume.

`device_wishes` compares the devices that PortAudio lists with the configuration, and
`device_choice` holds those in use and finds better ones. `alsa_devices` knows the cards
that PortAudio does not list because a program uses them. `card_volume` finds what is
wrong in a card's own mixer (`alsa_mixer`), and `card_volume_supervisor` sets it.

Start reading at `device_wishes.Device`. The folder opens no stream: `audio` does.
"""
