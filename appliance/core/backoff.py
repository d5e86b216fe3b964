"""How long to wait before the next try; no box ever gives up."""

FIRST_S = 0.5
"""R7.2: 0.5, 1, 2, 4, 8 s, and on from there."""
LONGEST_S = 30.0
"""R8.1: the cap, for ever."""
STEADY_FAILURES = 5
HOPEFUL_FAILURES = 40
"""Our choice: what cannot be reached is tried every 8 s for five minutes, which is how
long a server, a router or a provider takes to come back; only then more seldom."""
JITTER_S = 0.25
"""R7.2: fifty boxes that lost one server come back spread over half a second."""
REPLACED_FIRST_S = 60.0
REPLACED_LONGEST_S = 1800.0
"""Our choice: two boxes with one identity must not throw each other out all day."""

REFUSED_S = 600.0
"""Our choice: often enough for an owner who waits for it, rare enough for a server."""

_GOLDEN = 0.618033988749895


def wait_s(failures: int, jitter: float) -> float:
    """Return the wait after so many failures in a row.

    Args:
        failures: 1 or more.
        jitter: 0-1, this process's own number; varied for each failure by the golden
            ratio, which spreads better than chance and needs no state.
    """
    doubled = FIRST_S * 2.0 ** min(failures - 1, 10)
    share = (jitter + failures * _GOLDEN) % 1.0
    return min(doubled, LONGEST_S - JITTER_S) + JITTER_S * (2.0 * share - 1.0)


def unreachable_wait_s(failures: int, jitter: float) -> float:
    """Return the wait where nothing answers: `wait_s`, but 8 s for five minutes."""
    held = HOPEFUL_FAILURES - STEADY_FAILURES
    return wait_s(min(failures, max(STEADY_FAILURES, failures - held)), jitter)


def refused_wait_s(jitter: float) -> float:
    """Return the wait after a refusal: 10 minutes and up to a tenth more or less."""
    return REFUSED_S * (0.9 + 0.2 * jitter)


def replaced_wait_s(replacements: int) -> float:
    """Return the wait after another client took our identity so many times in a row."""
    return min(REPLACED_FIRST_S * 2.0 ** min(replacements - 1, 10), REPLACED_LONGEST_S)
