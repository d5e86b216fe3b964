"""Every error the appliance raises on purpose.

    ApplianceError
    ├── ConfigError (also ValueError)            fatal, exit 78
    ├── SoundError (also OSError)                a sound card: wanted, found, reason
    ├── PanelError (also OSError)                a pin or the screen
    ├── TokenError (also ConnectionError)
    │   ├── TokenRefused                         asking again will not help
    │   └── TokenUnreachable                     try again later
    ├── PageError (also OSError)                 the page cannot be served
    └── DemoError                                the demo cannot be set up

Each is also the standard error it resembles, so that a caller may catch either.
"""

from dataclasses import dataclass


class ApplianceError(Exception):
    """Something that the appliance knows how to explain."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with the configuration."""

    key: str
    """Full key, for example `buttons.talk`; empty for the whole file."""
    sentence: str
    """What was wanted, what was found and what to write."""
    source: str = "config.yaml"
    """Where the value came from: a file, `environment` or `--set`."""

    def __str__(self) -> str:
        """Return the line that a person reads; one, whatever signs a key has."""
        parts = (self.source, self.key, self.sentence)
        line = ": ".join(part for part in parts if part)
        return "".join(sign if sign.isprintable() else "�" for sign in line)


class ConfigError(ApplianceError, ValueError):
    """The configuration cannot be used; nothing runs until a person mends it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        """Remember every fault, so that all can be mended in one go."""
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        """Return one line per fault."""
        return "\n".join(str(fault) for fault in self.faults)


class SoundError(ApplianceError, OSError):
    """A sound card cannot be used now."""

    def __init__(self, device: str, reason: str) -> None:
        """Remember which card and why."""
        super().__init__(device, reason)
        self.device = device
        self.reason = reason

    def __str__(self) -> str:
        """Return card and reason in one sentence."""
        return f"{self.device}: {self.reason}"


class PanelError(ApplianceError, OSError):
    """A button, a lamp or the screen cannot be used now."""

    def __init__(self, part: str, reason: str) -> None:
        """Remember which part and why."""
        super().__init__(part, reason)
        self.part = part
        self.reason = reason

    def __str__(self) -> str:
        """Return part and reason in one sentence."""
        return f"{self.part}: {self.reason}"


class TokenError(ApplianceError, ConnectionError):
    """No token could be had."""

    def __init__(self, cause: str, reason: str) -> None:
        """Remember why, in a word for the core and in a sentence for people."""
        super().__init__(cause, reason)
        self.cause = cause
        self.reason = reason

    def __str__(self) -> str:
        """Return the sentence."""
        return self.reason


class TokenRefused(TokenError):
    """The source said no, or gave what cannot be used; asking again will not help."""


class TokenUnreachable(TokenError):
    """The token source did not answer, or not sensibly; try again later."""


class PageError(ApplianceError, OSError):
    """The page cannot be served at the wanted address."""


class DemoError(ApplianceError):
    """The demo cannot be set up; the sentence says what to do."""
