"""Front panel: buttons, lamps and the OLED screen.

`buttons` posts presses and releases, debounced by `debounce`; `lamps` shows the state
of the box. Both open their GPIO pins through `pin_group`, which retries missing ones,
and `pins`, which wraps gpiozero. `screen` shows the newest view in a thread of its own:
`display` supervises one display, `oled` and `i2c` drive it, `screen_saver` dims it.
`simulated` is a panel without hardware. Start with `buttons` and `screen`.
"""
