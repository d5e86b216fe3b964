"""The newest chat lines, as many as there is room for."""

from appliance.core.chat import ChatLine, Delivery
from appliance.display import fonts
from appliance.display.line import Line, Room
from appliance.display.text import readable


def chat_lines(chat: tuple[ChatLine, ...], room: Room) -> tuple[tuple[Line, ...], bool]:
    """Return the newest lines, the newest at the bottom.

    Returns:
        The lines, and whether all of the newest is shown.
    """
    shown: tuple[Line, ...] = ()
    is_whole = may_be_large = True
    for message in reversed(chat):
        left = room.below(shown)
        paragraph = left.fitted(readable(said(message)), may_be_large=may_be_large)
        if not shown:
            is_whole = paragraph.is_whole
            # Nothing older is larger than the newest.
            may_be_large = paragraph.font == fonts.text()
        if not paragraph.lines:
            break
        shown = (*left.lines(paragraph), *shown)
    return shown, is_whole


def said(line: ChatLine) -> str:
    """Return a chat line with its sender, or how far our own has got."""
    if not line.is_own:
        return f"{line.sender_name}: {line.text}"
    match line.state:
        case Delivery.QUEUED:
            return f"me (waiting): {line.text}"
        case Delivery.FAILED:
            return f"me (not sent): {line.text}"
        case _:
            return f"me: {line.text}"
