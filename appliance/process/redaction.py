r"""Redaction of log lines: tokens, keys, passwords and URL queries are hidden.

A second safeguard: the code does not log such values in the first place.
"""

import re
from collections.abc import Iterable

HIDDEN = "<hidden>"
LONGEST_ENTRY = 8000
"""Characters: enough for a traceback, too few for a message to fill the disk."""
SHORTEST_SECRET = 4
"""Characters; shorter values protect nothing and are parts of ordinary words."""

_WORD = r"[A-Za-z0-9_-]"
_MIXED = r"(?=[A-Z0-9_-]*[a-z])(?=[a-z0-9_-]*[A-Z])(?=[A-Za-z_-]*[0-9])"
_KEYWORD = (
    r"(?:token|secret|passw(?:or)?d|passphrase|(?:api|private|secret|encryption)[_-]?key"
    r"|authorization|cookie|credentials?|signature)"
)
_HEADER = r"(?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,40}(?:key|token)"
# A value in quotes; a backslash escapes the next character.
_QUOTED = r"""b?"(?:[^"\\]|\\.)*"?|b?'(?:[^'\\]|\\.)*'?"""
_QUERY = rf"(?:{HIDDEN}|[^\s\"'<>])*"

_RULES = (
    # A JSON web token, complete or cut off: base64url of `{"` or `{ `.
    (rf"ey[AJ]{_WORD}{{5,}}(?:\.{_WORD}*){{0,4}}", HIDDEN),
    (r"(?i)\b(bearer)\s+[^\s\"',]+", rf"\1 {HIDDEN}"),
    # The value of a header extends to the end of its line.
    (rf"(?i)\b({_HEADER})(\s*:\s*)(?:{_QUOTED}|[^\r\n\"']+)", rf"\1\2{HIDDEN}"),
    # "token": "…" in JSON, in a mapping and in a list of pairs.
    (
        rf"(?i)([\"'][\w-]{{0,40}}{_KEYWORD}[\"']\s*[:,]\s*)(?:{_QUOTED}|[^\s,)}}\]]+)",
        rf"\1{HIDDEN}",
    ),
    # token=… in a query, a form and a repr.
    (rf"(?i)({_KEYWORD}\s?=\s?)(?:{_QUOTED}|[^\s&;,)\"']+)", rf"\1{HIDDEN}"),
    # User and password in a URL; its query and fragment; the same without its host.
    (r"(\w://)[^\s/@\"'<>]*@", rf"\1{HIDDEN}@"),
    (rf"(\w://[^\s?#\"'<>]{{0,500}})[?#]{_QUERY}", rf"\1?{HIDDEN}"),
    (rf"\?[\w.%~\[\]-]+={_QUERY}", f"?{HIDDEN}"),
    # LiveKit's API keys, and anything that looks like a generated secret: long, with
    # lower-case and capital letters and digits. LiveKit's have 43 characters, Solana's
    # 88.
    (r"\bAPI[A-Za-z0-9]{9,}\b", HIDDEN),
    (rf"(?<!{_WORD}){_MIXED}{_WORD}{{40,}}", HIDDEN),
)
"""Patterns, which `re` compiles once, and what is shown in their place."""
# Control characters could forge a line or move the cursor of a terminal.
_CONTROL = {
    code: f"\\x{code:02x}"
    for code in (*range(0x20), *range(0x7F, 0xA0))
    if chr(code) not in "\n\t"
} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """Return an entry of the log without secrets and without control characters.

    The values in `secrets` are hidden wherever they appear.
    """
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    if len(text) > LONGEST_ENTRY:
        # Not in the middle of a word: half a token would not be recognised.
        text = re.sub(r"\s\S*\Z", " …", text[:LONGEST_ENTRY])
    for pattern, shown in _RULES:
        text = re.sub(pattern, shown, text)
    # A lone surrogate cannot be written in UTF-8.
    text = text.encode(errors="backslashreplace").decode()
    return text.translate(_CONTROL)
