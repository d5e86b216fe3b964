"""Python packages of the panel that cannot be imported."""

from typing import Final

_ADVICE: Final = {
    "lgpio": "Install it: sudo apt install python3-lgpio.",
}
_REINSTALL: Final = "Install the program again: sudo bash systemd/install.sh."


def reason(error: ImportError) -> str:
    """Return which package cannot be imported and what to do."""
    package = error.name or "of the panel"
    advice = _ADVICE.get(package, _REINSTALL)
    if isinstance(error, ModuleNotFoundError):
        return f"the Python package {package} is missing. {advice}"
    return f"the Python package {package} cannot be imported: {error}. {advice}"
