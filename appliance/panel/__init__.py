"""Front panel: buttons, lamps and the OLED screen.

`buttons` posts presses and releases, debounced by `debounce`, and gives up a wire that
is `floating`; `lamps` shows the state of the box. Both open their pins (`input_pin`)
through `pin_group`, which retries missing ones, and `pins`, which wraps gpiozero;
`gpio_chip` asks the kernel for the right chip and for who uses a pin. `screen` shows
the newest view in a thread of its own, dimmed as `screen_saver` says; `oled` drives it
through luma.oled, with `paging` for both kinds of chip and `i2c` for the bus.
`device_access` names refused device files. `fault_display` shows why the box cannot
run. `simulated` is a panel without hardware. Start with `buttons` and `screen`.
"""
