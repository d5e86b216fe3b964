"""Decisions of the appliance as pure functions, without clock, thread, file or device.

`events`, `commands` and `state` define the data; `step` maps a state and an event to
the next state and commands, and adds what follows from every change. The rules have one
module per subject: `session` and `reconnect` (the room and its presets), `talk` (also
its time limits and permissions), `buttons` (also volume and gain), `agent`, `pairing`,
`chat` and `outbox`. `view` derives what people see, with the sentences of `faults`;
`fault_table` has those of the hardware. Start with `state`, `events` and `step`.
"""
