"""What the tests of the front panel share."""

from importlib import import_module

# luma starts four threads when it is imported, and keeps them: so it does that before
# any test looks for threads that were left behind.
import_module("luma.oled.device")
