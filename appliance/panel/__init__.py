"""Front panel: buttons, lamps and the OLED screen.

`buttons` posts presses and releases, debounced by `debounce`; `lamps` shows the state
of the box. Both open their GPIO pins through `pins`, which wraps gpiozero and retries
missing ones. `screen` shows the newest view in a thread of its own, which also dims the
display; `oled` and `i2c` drive it. `simulated` is a panel without hardware. Start with
`buttons` and `screen`.
"""
