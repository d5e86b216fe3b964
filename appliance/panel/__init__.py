"""Front panel: buttons, lamps and the OLED screen.

`buttons` debounces edges, posts presses and releases, and ignores a button whose wire
floats, so that it changes many times a second by itself; `lamps` lights what
`core.view` decides. Both open their pins through `pins`, which wraps gpiozero, retries
missing pins, and has simulated ones for the demo; `gpio_chip` asks the kernel for the
right chip and for who uses a pin. `screen` shows the newest view, dimmed after a while,
in a thread of its own, or why the box cannot run; `oled` drives both kinds of chip on
the I²C bus through luma.oled. Start with `buttons` and `screen`.
"""
