"""Calls of the system's own programs, which may be missing or hang."""

import subprocess


def finished(
    command: list[str], longest_s: float
) -> subprocess.CompletedProcess[str] | None:
    """Run a program; None if it is missing or does not end in time."""
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=longest_s
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
