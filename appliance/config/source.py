"""Reads what each source of the configuration says: file, environment, `--set`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from appliance.config.tree import Layer
from appliance.config.yaml import read_mapping, read_yaml
from appliance.errors import ConfigError, Fault

PATH_VARIABLE = "PTT_APPLIANCE_CONFIG"
"""Names the file; no key of the configuration."""
PREFIX = "PTT_"
"""Every other variable that starts so is a key of the appliance."""


def read_layers(
    path: Path,
    settings: Sequence[str],
    environment: Mapping[str, str],
    *,
    is_wished: bool,
    prefix: str = PREFIX,
) -> tuple[list[Layer], list[Fault]]:
    """Return what each source says, lowest first, and which could not be read.

    Every variable and every setting is a layer of its own.

    Args:
        path: the file.
        settings: each `KEY=VALUE`.
        environment: all of it.
        is_wished: somebody named the file, so that it has to be there.
        prefix: what the variables that are keys begin with.
    """
    variables = [
        (name, value)
        for name, value in sorted(environment.items())
        if name.startswith(prefix) and name != PATH_VARIABLE
    ]
    layers: list[Layer] = []
    faults: list[Fault] = []
    readers: list[Callable[[], Layer]] = [
        lambda: _file_layer(path, is_wished=is_wished),
        *(partial(_variable_layer, prefix, *item) for item in variables),
        *(partial(_setting_layer, setting) for setting in settings),
    ]
    for read in readers:
        try:
            layers.append(read())
        except ConfigError as exc:
            faults += exc.faults
    # Whatever is missing is missing in the file.
    return layers or [Layer(str(path), {})], faults


def _file_layer(path: Path, *, is_wished: bool) -> Layer:
    """Return the keys of a file; one that nobody wished for may be absent.

    Raises:
        ConfigError: it cannot be read, or is not YAML.
    """
    try:
        content = path.read_bytes()
        return Layer(str(path), read_mapping(content.decode("utf-8-sig"), str(path)))
    except FileNotFoundError as exc:
        if not is_wished:
            return Layer(str(path), {})
        raise _unreadable(
            path, "there is no such file. Write one, or mend the path."
        ) from exc
    except PermissionError as exc:
        sentence = (
            "cannot be read: permission denied. Mend its rights; "
            "what lies in /etc/ptt-appliance needs sudo."
        )
        raise _unreadable(path, sentence) from exc
    except OSError as exc:
        reason = (exc.strerror or "unknown trouble").lower()
        raise _unreadable(
            path, f"cannot be read: {reason}. Mend path or rights."
        ) from exc
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        column = exc.start - content.rfind(b"\n", 0, exc.start)
        sentence = "found bytes that are no text. Save it as UTF-8."
        raise _unreadable(path, sentence, f"line {line}, column {column}") from exc


def _unreadable(path: Path, sentence: str, key: str = "") -> ConfigError:
    return ConfigError((Fault(key, sentence, str(path)),))


def _variable_layer(prefix: str, name: str, value: str) -> Layer:
    def spell(key: str) -> str:
        return prefix + key.upper().replace(".", "__")

    path = name.removeprefix(prefix).lower().split("__")
    return _one_value("environment", spell, path, value)


def _setting_layer(setting: str) -> Layer:
    key, equals, value = setting.partition("=")
    if not equals:
        sentence = "expected KEY=VALUE. Write for example --set talk.mode=hold."
        raise ConfigError((Fault("", sentence, "--set"),))
    return _one_value("--set", str, key.strip().split("."), value)


def _one_value(
    source: str, spell: Callable[[str], str], path: list[str], text: str
) -> Layer:
    try:
        value = read_yaml(text, source)
    except ConfigError as exc:
        # The reason would quote the value, which may be a secret.
        sentence = "is not YAML. Put the value into quotes of its own."
        raise ConfigError((Fault(spell(".".join(path)), sentence, source),)) from exc
    for name in reversed(path[1:]):
        value = {name: value}
    return Layer(source, {path[0]: value}, spell)
