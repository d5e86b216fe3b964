"""Front panel: buttons, lamps and the OLED screen.

`buttons` posts presses and releases, debounced by `debounce`; `lamps` shows the state
of the box. Both open their GPIO pins through `pins`, which wraps gpiozero and retries
missing ones. `screen` shows the newest view in a thread of its own, dimmed as
`screen_saver` says; `oled` drives it through luma.oled, with `paging` for both kinds of
chip and `i2c` for the bus. `device_access` names refused device files. `simulated` is a
panel without hardware. Start with `buttons` and `screen`.
"""
