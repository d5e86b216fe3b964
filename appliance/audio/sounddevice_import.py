"""Import of sounddevice that succeeds while PortAudio cannot be initialised."""

import importlib.util
import sys
from typing import Any, Final, TypeAlias

from appliance.errors import SoundError

Sounddevice: TypeAlias = Any
"""The module sounddevice, which has hardly any type annotations."""
ANY_CARD: Final = "sound"
"""Device name in errors that concern no single card."""


def imported() -> Sounddevice:
    """Return the module sounddevice, even if PortAudio cannot be initialised.

    sounddevice initialises PortAudio in its last line. If that fails, an ordinary
    import discards the module and executes it again at the next attempt, and each
    attempt leaks memory.

    Raises:
        SoundError: PortAudio or sounddevice is not installed.
    """
    name = "sounddevice"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        raise SoundError(ANY_CARD, "the Python package sounddevice is not installed")
    module: Sounddevice = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (OSError, ImportError) as exc:
        del sys.modules[name]
        reason = f"{exc}. Install it: sudo apt install libportaudio2."
        raise SoundError(ANY_CARD, reason) from exc
    except Exception as exc:
        if isinstance(exc, module.PortAudioError):
            return module
        del sys.modules[name]
        raise
    return module
