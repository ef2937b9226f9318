"""Hadoop's configuration files, as far as a client without Hadoop needs them."""

from __future__ import annotations

import getpass
import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from airflow_provider_flinkx.exceptions import JobFileError

_VARIABLE = re.compile(r"\$\{([^}$\s]+)\}")
_ENVIRONMENT = re.compile(r"env\.([^:-]+)(?::?-(.*))?")
_DEEPEST = 20  # as Hadoop's Configuration


def read_hadoop_configuration(folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Settings of core-site.xml and yarn-site.xml, with their variables filled in as Hadoop's Configuration does.

    A variable is another setting, `${env.NAME}` (also with a default: `${env.NAME:-default}`) or `${user.name}`;
    what cannot be filled in stays as it is.

    Raises:
        JobFileError: when the folder holds no yarn-site.xml, or a file cannot be read.
    """
    if not (folder / "yarn-site.xml").is_file():
        raise JobFileError(f"no yarn-site.xml in {folder}: yarnconf is the folder of Hadoop's configuration files")
    settings: dict[str, str] = {}
    for path in (folder / "core-site.xml", folder / "yarn-site.xml"):
        if path.is_file():
            settings.update(_read(path))
    return {name: _filled_in(value, settings, environment) for name, value in settings.items()}


def _read(path: Path) -> dict[str, str]:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 - the user's own configuration
    except (OSError, ElementTree.ParseError) as error:
        raise JobFileError(f"{path} is not readable: {error}") from error
    found: dict[str, str] = {}
    for element in root:
        if element.tag.endswith("}include"):
            raise JobFileError(
                f"{path} includes another file, which is not supported: write its settings into this one"
            )
        name = element.get("name") or element.findtext("name")
        value = element.get("value") or element.findtext("value")
        if element.tag == "property" and name and value is not None:
            found[name.strip()] = value.strip()
    return found


def _filled_in(value: str, settings: Mapping[str, str], environment: Mapping[str, str]) -> str:
    for _ in range(_DEEPEST):
        match = next((match for match in _VARIABLE.finditer(value) if _known(match[1], settings, environment)), None)
        if match is None:
            return value
        value = value[: match.start()] + (_value(match[1], settings, environment) or "") + value[match.end() :]
    return value


def _known(name: str, settings: Mapping[str, str], environment: Mapping[str, str]) -> bool:
    return _value(name, settings, environment) is not None


def _value(name: str, settings: Mapping[str, str], environment: Mapping[str, str]) -> str | None:
    if variable := _ENVIRONMENT.fullmatch(name):
        return environment.get(variable[1], variable[2])
    if name == "user.name":
        return getpass.getuser()
    return settings.get(name)
