"""Decisions of the appliance as pure functions, without clock, thread, file or device.

`events`, `commands` and `state` define the data; `step` maps a state and an event to
the next state and commands. It compares the states before and after, and so finds what
follows from a change, such as an earcon or a closed sound card. The rules have one
module per subject: `session` and `reconnect` (the room, its presets, and the return for
a missing voice agent), `talk` (also permissions and time limit), `buttons` (also volume
and gain), `voice_agent` and `chat`.
`view` derives what people see, with the sentences of `faults`; `fault_table` has those
of the hardware. Start with `state`, `events` and `step`.
"""
