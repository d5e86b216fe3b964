"""Reading and checking of the token server's configuration, keys and secrets.

Every variable may also be a file, which keeps secrets out of the environment: variable
`NAME` is the content of the file in `NAME_FILE`, or of the file `NAME` among systemd's
credentials (`LoadCredential=`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from appliance.config.layers import read_layers
from appliance.config.merge import Reading
from appliance.errors import ConfigError, Fault
from appliance.tokens.server_checks import DEVELOPMENT, WANTED, findings, key_faults
from appliance.tokens.server_config import (
    Credentials,
    TokenServerConfig,
    TokenServerSettings,
)

DEFAULT_PATH: Final = Path("/etc/ptt-appliance/token-server.yaml")
PREFIX: Final = "TOKEN_SERVER_"
CREDENTIAL: Final = "token-server_"
"""Prefix that systemd adds for `LoadCredential=token-server:FOLDER`."""
_REGISTRY: Final = (
    "SOLANA_CONTRACT_ADDRESS",
    "SOLANA_NETWORK_HOST_HTTP",
    "SOLANA_REGISTRY_AUTHORITY",
)
_KNOWN: Final = {name for wanted in WANTED.values() for name in wanted} | {*_REGISTRY}


def read_settings(
    path: Path | None, listen: str | None, environment: Mapping[str, str]
) -> TokenServerSettings:
    """Return the settings from the file and the environment.

    Args:
        path: of the file; None: the default one, which may be absent.
        listen: from the command line; overrides the other sources.
        environment: variables `TOKEN_SERVER_…` and `LIVEKIT_…` are used.

    Raises:
        ConfigError: contains every fault.
    """
    variables, faults = _with_files(environment)
    layers, more = read_layers(
        path or DEFAULT_PATH, (), variables, is_wished=path is not None, prefix=PREFIX
    )
    reading = Reading(TokenServerConfig)
    config = reading.section(TokenServerConfig, "", layers)
    config = replace(config, listen=listen or config.listen)
    for key, sentence in findings(config):
        if key not in reading.blamed:
            reading.blame(key, sentence, reading.origins.get(key, layers[0]))
    keys = _credentials(variables, config)
    wrong = () if faults else key_faults(keys, config)
    faults += [*more, *reading.faults, *wrong]
    if faults:
        raise ConfigError(tuple(faults))
    is_development = (keys.key, keys.secret) == DEVELOPMENT
    return TokenServerSettings(config, keys, is_development=is_development)


def _credentials(
    variables: Mapping[str, str], config: TokenServerConfig
) -> Credentials:
    given = {name: variables.get(name, "").strip() for name in _KNOWN}
    if config.kind == "dtelecom":
        registry = {name: given[name] for name in _REGISTRY if given[name]}
        return Credentials(given["API_KEY"], given["API_SECRET"], registry=registry)
    key, secret = given["LIVEKIT_API_KEY"], given["LIVEKIT_API_SECRET"]
    return Credentials(key, secret, given["LIVEKIT_URL"])


def _with_files(environment: Mapping[str, str]) -> tuple[dict[str, str], list[Fault]]:
    """Return the variables including those that are files, and the faults of these."""
    variables = dict(environment)
    faults = []
    for name, path in _files(environment):
        variables.pop(f"{name}_FILE", None)
        try:
            variables[name] = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            reason = (getattr(exc, "strerror", None) or "it is not text").lower()
            sentence = f"the file {path} cannot be read: {reason}. Fix path or rights."
            faults.append(Fault(f"{name}_FILE", sentence, "environment"))
    return variables, faults


def _files(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each variable that is a file, lowest precedence first."""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    for path in sorted(Path(folder).glob("*")) if folder else ():
        name = path.name.removeprefix(CREDENTIAL)
        if _is_ours(name) and name not in environment:
            yield name, path
    for variable, path_text in sorted(environment.items()):
        name = variable.removesuffix("_FILE")
        if name != variable and _is_ours(name):
            yield name, Path(path_text)


def _is_ours(name: str) -> bool:
    return name in _KNOWN or name.startswith(PREFIX)
