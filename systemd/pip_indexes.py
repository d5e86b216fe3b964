"""Environment for pip without the package indexes that do not answer.

pip asks each index for each package, and waits a minute and a half for one that is
silent. Called by `setup.sh` with the Python of a virtual environment. Prints variables
for the shell, or nothing where all indexes answer; standard error names the others.
"""

import ast
import re
import shlex
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from http.client import HTTPException

ANSWER_S = 10.0
"""Longest time for an answer; our choice."""
ATTEMPTS = 2
"""One packet may be lost on Wi-Fi."""
PYPI = "https://pypi.org/simple"
"""pip's default."""
LINE = re.compile(r"^(?P<section>[^.]+)\.(?P<key>[^=]+)=(?P<value>.*)$")
SECTIONS = ("global", "install", ":env:")
"""Sections that count for `pip install`, the strongest last."""


def settings() -> dict[str, str]:
    """Return pip's configuration, from files and environment.

    Source: pip's documentation, "Configuration", and `pip config list`.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "config", "list"],
        check=True,
        capture_output=True,
        text=True,
    )
    lines = [found for line in done.stdout.splitlines() if (found := LINE.match(line))]
    return {
        line["key"]: str(ast.literal_eval(line["value"]))
        for section in SECTIONS
        for line in lines
        if line["section"] == section
    }


def answers(url: str, proxy: str, answer_s: float = ANSWER_S) -> bool:
    """Return whether the index answers at all; what it says is for pip to judge.

    A folder does not make pip wait, so it counts as answering.
    """
    if not re.match("https?:", url, re.IGNORECASE):
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    handlers: list[urllib.request.BaseHandler] = [
        urllib.request.HTTPSHandler(context=context)
    ]
    if proxy:
        handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    opener = urllib.request.build_opener(*handlers)
    for _ in range(ATTEMPTS):
        try:
            address = f"{shown(url).rstrip('/')}/pip/"
            request = urllib.request.Request(address, method="HEAD")
            opener.open(request, timeout=answer_s).close()
        except urllib.error.HTTPError:
            return True
        except (OSError, HTTPException, ValueError):
            continue
        return True
    return False


def variables(
    found: dict[str, str], silent: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield the variables that replace pip's configuration files.

    Args:
        found: pip's configuration.
        silent: indexes to leave out.
    """
    left = [url for url in indexes(found) if url not in silent]
    replaced = {"index-url", "extra-index-url", "config-file"}
    changed = {key: value for key, value in found.items() if key not in replaced}
    if left:
        changed["index-url"] = left[0]
        changed["extra-index-url"] = " ".join(left[1:])
    else:
        changed["no-index"] = "1"
    yield "PIP_CONFIG_FILE", "/dev/null"
    for key, value in changed.items():
        yield f"PIP_{key.upper().replace('-', '_')}", value


def indexes(found: dict[str, str]) -> list[str]:
    """Return the addresses of all indexes, the first one being the main one."""
    return [found.get("index-url", PYPI), *found.get("extra-index-url", "").split()]


def shown(url: str) -> str:
    """Return the address without name and password."""
    return re.sub("//[^/?#]*@", "//", url, count=1)


def main() -> None:
    """Print the variables."""
    found = settings()
    if found.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        return
    proxy = found.get("proxy", "")
    silent = [url for url in indexes(found) if not answers(url, proxy)]
    for url in silent:
        sentence = f"The package index {shown(url)} does not answer, so it is not used."
        print(sentence, file=sys.stderr)
    if silent:
        for name, value in variables(found, silent):
            print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
