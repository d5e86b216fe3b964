"""Layout of the newest chat lines, as many as fit."""

from appliance.core.chat import ChatLine, Delivery
from appliance.display import fonts
from appliance.display.line import Area, Line
from appliance.display.text import readable


def chat_lines(chat: tuple[ChatLine, ...], room: Area) -> tuple[tuple[Line, ...], bool]:
    """Return the newest lines that fit, the newest at the bottom.

    Returns:
        The lines, and whether the newest is shown in full.
    """
    shown: tuple[Line, ...] = ()
    is_whole = may_be_large = True
    for message in reversed(chat):
        left = room.below(shown)
        paragraph = left.fitted(readable(said(message)), may_be_large=may_be_large)
        if not shown:
            is_whole = paragraph.is_whole
            # Older lines are not larger than the newest.
            may_be_large = paragraph.font == fonts.text()
        if not paragraph.lines:
            break
        shown = (*left.lines(paragraph), *shown)
    return shown, is_whole


def said(line: ChatLine) -> str:
    """Return a chat line with its sender or, for our own, its delivery state."""
    if not line.is_own:
        return f"{line.sender_name}: {line.text}"
    match line.state:
        case Delivery.QUEUED:
            return f"me (waiting): {line.text}"
        case Delivery.FAILED:
            return f"me (not sent): {line.text}"
        case _:
            return f"me: {line.text}"
