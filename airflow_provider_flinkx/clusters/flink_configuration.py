"""The settings of a Flink installation, from its conf folder: config.yaml, or flink-conf.yaml before Flink 2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from airflow_provider_flinkx.exceptions import JobFileError

_DEFAULT_REST_PORT = "8081"


def read_flink_configuration(folder: Path) -> dict[str, str]:
    """All settings in a conf folder, with dotted names.

    Raises:
        JobFileError: when neither file is there, or it cannot be read.
    """
    newer, older = folder / "config.yaml", folder / "flink-conf.yaml"
    file = newer if newer.exists() else older
    try:
        text = file.read_text("utf-8")
        return dict(_older_settings(text) if file is older else _newer_settings(text))
    except FileNotFoundError:
        raise JobFileError(f"no config.yaml or flink-conf.yaml in {folder}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise JobFileError(f"{file} cannot be read: {' '.join(str(error).split())}") from None


def rest_addresses(settings: Mapping[str, str]) -> tuple[str, ...]:
    """Where the cluster's REST interface is, by its settings; empty when they do not say."""
    host = settings.get("rest.address") or settings.get("jobmanager.rpc.address")
    if not host:
        return ()
    scheme = "https" if settings.get("security.ssl.rest.enabled", "").lower() == "true" else "http"
    return (f"{scheme}://{host}:{settings.get('rest.port', _DEFAULT_REST_PORT)}",)


def _newer_settings(text: str) -> Iterator[tuple[str, str]]:
    """Standard YAML, nested or with dotted names."""
    document = yaml.safe_load(text) or {}
    if not isinstance(document, Mapping):
        raise ValueError("it holds no settings")
    return _flattened(document, "")


def _flattened(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", str(value).lower() if isinstance(value, bool) else str(value)


def _older_settings(text: str) -> Iterator[tuple[str, str]]:
    """`name: value` lines, values as they are, `#` begins a comment."""
    for line in text.splitlines():
        name, colon, value = line.partition("#")[0].partition(": ")
        if colon and name.strip() and value.strip():
            yield name.strip(), value.strip()
