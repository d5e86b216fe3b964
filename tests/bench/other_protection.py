"""Appliance with other protection of its speech against loss.

The arguments are `on` or `off` for RED, the bit rate in kbit/s, and the configuration
file. Everything else is as in `ptt-appliance run`, whose choice is fixed: the SDK's
options for publishing are changed before the first track is published. They have no
switch for in-band FEC: LiveKit's library always offers it, and Opus adds it to speech
in the hybrid mode only, which it chooses below about 62 kbit/s.
"""

import sys

from appliance.cli import end_process, main
from appliance.room import publisher


def choose(red: str, kbit_s: str) -> None:
    """Change the options with which every track is published from then on."""
    options = publisher.OPTIONS
    options.red = red == "on"
    options.audio_encoding.max_bitrate = 1000 * int(kbit_s)


if __name__ == "__main__":
    choose(sys.argv[1], sys.argv[2])
    end_process(main(["run", "--config", sys.argv[3]]))
