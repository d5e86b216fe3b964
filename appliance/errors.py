"""Exceptions of the appliance.

    ApplianceError
    ├── ConfigError (also ValueError)            fatal, exit 78
    ├── PartError (also OSError)                 hardware
    │   ├── SoundError                           a sound card
    │   └── PanelError                           a pin or the screen
    ├── TokenError (also ConnectionError)
    │   ├── TokenRefused                         asking again soon will not help
    │   └── TokenUnreachable                     try again later
    ├── ListenError (also OSError)               the token server's address
    └── DemoError                                the demo

Exceptions that are always caught are defined beside the code that raises them. Failures
to join a room are not exceptions but values: `core.events.Failure`.
"""

from dataclasses import dataclass


class ApplianceError(Exception):
    """Base class; `str` returns a sentence for people."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the configuration."""

    key: str
    """Full key, for example `buttons.talk`; empty for the whole file."""
    sentence: str
    """What was expected, what was found and what to write."""
    source: str = "config.yaml"
    """Source of the value: a file, `environment` or `--set`."""

    def __str__(self) -> str:
        """Return one line for people, whatever characters the key contains."""
        parts = (self.source, self.key, self.sentence)
        line = ": ".join(part for part in parts if part)
        return "".join(x if x.isprintable() else "�" for x in line)


class ConfigError(ApplianceError, ValueError):
    """The configuration cannot be used; nothing runs until a person fixes it."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(*faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


class PartError(ApplianceError, OSError):
    """A part of the hardware cannot be used now."""

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(part, reason)
        self.part = part
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.part}: {self.reason}"


class SoundError(PartError):
    """A sound card cannot be used now."""


class PanelError(PartError):
    """A button, a lamp or the screen cannot be used now."""


class TokenError(ApplianceError, ConnectionError):
    """No token could be fetched."""

    def __init__(
        self,
        cause: str,
        sentence: str,
        *,
        remark: str = "",
        retry_after_s: float = 0.0,
    ) -> None:
        """`sentence` is the same at each retry; `remark`, the source's, may differ."""
        super().__init__(cause, sentence, remark)
        self.cause = cause
        self.sentence = sentence
        self.reason = f"{sentence} {remark}".rstrip()
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.reason


class TokenRefused(TokenError):
    """The source refused, or the configuration is wrong: retry in ten minutes."""


class TokenUnreachable(TokenError):
    """The token source gave no answer, or an invalid one; try again later."""


class ListenError(ApplianceError, OSError):
    """The token server cannot listen on its address; the page posts `PartLost`."""


class DemoError(ApplianceError):
    """The demo cannot be set up; the sentence says why."""
