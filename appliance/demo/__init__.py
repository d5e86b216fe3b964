"""The appliance on this computer, without a Pi, an account or a sound card.

`ptt-appliance demo` starts a LiveKit server on loopback and the ordinary appliance with
simulated pins and screen and, if need be, a simulated sound card. A companion in the
same room repeats what it heard and answers chat. A script works the buttons until a
person does. Start with `run`, which puts everything together; the tests use
`livekit_server` and `build_server` too.
"""
