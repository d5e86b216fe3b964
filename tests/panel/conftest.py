"""Shared set-up of the tests of the front panel."""

from importlib import import_module

# luma starts four permanent threads when it is imported: import it before any test
# looks for threads that were left behind.
import_module("luma.oled.device")
