"""Layers of raw values: one for the file, each variable and each `--set`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from appliance.config.merge import Layer
from appliance.config.yaml import read_mapping, read_yaml
from appliance.errors import ConfigError, Fault

PATH_VARIABLE = "PTT_APPLIANCE_CONFIG"
"""Variable with the path of the file; it is not a key of the configuration."""
PREFIX = "PTT_"
"""Prefix of the variables that are keys of the configuration."""


def read_layers(
    path: Path,
    settings: Sequence[str],
    environment: Mapping[str, str],
    *,
    is_wished: bool,
    prefix: str = PREFIX,
) -> tuple[list[Layer], list[Fault]]:
    """Return the layers of all sources, lowest first, and the faults in reading them.

    Every variable and every setting is a layer of its own.

    Args:
        path: the file.
        settings: each `KEY=VALUE`.
        environment: all of it.
        is_wished: the file was named explicitly, so it has to exist.
        prefix: start of the names of variables that are keys.
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
    # A missing key is reported for the file, so there is always its layer.
    return layers or [Layer(str(path), {})], faults


def _file_layer(path: Path, *, is_wished: bool) -> Layer:
    """Return the layer of a file; unless `is_wished` it may be absent.

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
            path, "there is no such file. Write one, or fix the path."
        ) from exc
    except PermissionError as exc:
        sentence = (
            "cannot be read: permission denied. Fix its rights; "
            "files in /etc/ptt-appliance need sudo."
        )
        raise _unreadable(path, sentence) from exc
    except OSError as exc:
        reason = (exc.strerror or "unknown error").lower()
        raise _unreadable(
            path, f"cannot be read: {reason}. Fix path or rights."
        ) from exc
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        column = exc.start - content.rfind(b"\n", 0, exc.start)
        sentence = "found bytes that are not text. Save it as UTF-8."
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
