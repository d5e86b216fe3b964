"""The front of the box: buttons, lamps and screen."""
