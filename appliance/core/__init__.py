"""Decisions of the appliance as pure functions, without clock, thread, file or device.

`events`, `commands` and `state` define the data; `step` maps a state and an event to
the next state and commands, and `effects` adds what follows from every change. The
rules have one module per subject: `session` and `reconnect` (the room), `talk`,
`talk_limit` and `buttons`, `permissions`, `pairing`, `chat` and `outbox`. `view`
derives what people see, with the words of `status_text` and `faults`. Start with
`state`, `events` and `step`.
"""
