"""The summary in words for a person and in values for a script; pure."""

from collections.abc import Iterator

from appliance.demo.summary import Summary, Way


def values(summary: Summary) -> dict[str, object]:
    """Return what goes into JSON."""
    setting = summary.setting
    after_s = summary.joined_after_s
    return {
        "is_good": summary.is_good,
        "missing": summary.missing,
        "faults": list(summary.faults),
        "card": "simulated" if setting.is_simulated else "real",
        "joined_after_s": None if after_s is None else round(after_s, 3),
        "talks": {
            "sent": summary.talks_sent,
            "heard": summary.talks_heard,
            "heard_back": summary.talks_heard_back,
        },
        "chat": {"sent": summary.lines_sent, "answered": summary.lines_answered},
        "to_companion": _values(summary.to_companion),
        "to_box": _values(summary.to_box),
        "wav": str(setting.wav) if setting.wav else None,
        "wav_s": round(setting.wav_s, 2),
    }


def lines(summary: Summary) -> Iterator[str]:
    """Yield the summary line by line."""
    after_s = summary.joined_after_s
    yield "Joined     " + ("never" if after_s is None else f"after {after_s:.2f} s")
    if summary.setting.has_companion:
        yield from _exchange_lines(summary)
    if summary.setting.wav:
        yield f"Recording  {summary.setting.wav} ({summary.setting.wav_s:.0f} s)"
    yield from (f"Wrong      {fault}" for fault in summary.faults)
    yield f"Result     {_result(summary)}"


def _exchange_lines(summary: Summary) -> Iterator[str]:
    yield (
        f"Talks      {summary.talks_sent} sent, {summary.talks_heard} heard by the "
        f"companion, {summary.talks_heard_back} heard back"
    )
    yield f"Chat       {summary.lines_sent} sent, {summary.lines_answered} answered"
    ways = (("out", summary.to_companion), ("back", summary.to_box))
    if not summary.setting.is_simulated:
        yield "Delay      not measured with a real sound card"
        return
    yield "Delay      mouth to ear: " + ", ".join(
        f"{name} {_delay(way)}" for name, way in ways
    )
    yield "Lost       " + ", ".join(f"{name} {_lost(way)}" for name, way in ways)


def _result(summary: Summary) -> str:
    if summary.is_good and not summary.setting.has_companion:
        return "the room was joined"
    if summary.is_good:
        return "a complete exchange, nothing lost"
    if summary.missing:
        return f"not complete: {summary.missing}"
    return "not everything went well"


def _delay(way: Way) -> str:
    if way.delay_ms is None:
        return "not measured"
    if len(way.delays_ms) == 1:
        return f"{way.delay_ms:.0f} ms"
    low, high = min(way.delays_ms), max(way.delays_ms)
    return f"{way.delay_ms:.0f} ms ({low:.0f}–{high:.0f})"


def _lost(way: Way) -> str:
    if not way.lost_start_ms:
        return "not measured"
    start_ms, end_ms = max(way.lost_start_ms), max(way.lost_end_ms)
    return f"{start_ms} ms at the start and {end_ms} ms at the end"


def _values(way: Way) -> dict[str, object]:
    return {
        "delay_ms": way.delay_ms,
        "delays_ms": list(way.delays_ms),
        "lost_start_ms": list(way.lost_start_ms),
        "lost_end_ms": list(way.lost_end_ms),
        "lost_within_ms": list(way.lost_within_ms),
    }
