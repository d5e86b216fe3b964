"""Error sentences for Python packages of the panel that cannot be imported."""

from typing import Final

_ADVICE: Final = {
    "lgpio": "Install it: sudo apt install python3-lgpio.",
}
_REINSTALL: Final = "Install the program again: sudo bash systemd/install.sh."


def reason(exc: ImportError) -> str:
    """Return the sentence that names the package and the remedy."""
    package = exc.name or "of the panel"
    advice = _ADVICE.get(package, _REINSTALL)
    if isinstance(exc, ModuleNotFoundError):
        return f"the Python package {package} is missing. {advice}"
    return f"the Python package {package} cannot be imported: {exc}. {advice}"
