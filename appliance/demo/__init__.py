"""Demo of the appliance on this computer, without a Pi, an account or a sound card.

`ptt-appliance demo` starts a LiveKit server on loopback and the ordinary appliance with
simulated pins and screen and, if there is none, a `simulated_card`. A `companion` in
the same room repeats what it heard and answers chat. A script presses the buttons until
a person does. Start with `command`, which assembles everything; the tests use
`livekit_server` too.
"""
