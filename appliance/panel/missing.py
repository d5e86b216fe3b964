"""Error sentences for Python packages of the panel that cannot be imported."""

from typing import Final

_ADVICE: Final = {
    "lgpio": "Install it: sudo apt install python3-lgpio (Raspberry Pi OS has it).",
}
_REINSTALL: Final = "Install the program again: sudo bash systemd/install.sh."


def remedy(package: str) -> str:
    """Return what to do if this package is missing."""
    return _ADVICE.get(package, _REINSTALL)


def reason(exc: ImportError) -> str:
    """Return the sentence that names the package and the remedy."""
    package = exc.name or "of the panel"
    advice = remedy(package)
    if isinstance(exc, ModuleNotFoundError):
        return f"the Python package {package} is missing. {advice}"
    return f"the Python package {package} cannot be imported: {exc}. {advice}"
