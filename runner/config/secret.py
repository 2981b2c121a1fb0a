"""What may be shown of values that may be secret."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "***"


def masked(url: str) -> str:
    """Return *url* without its password and query; variables that still stand in it are no secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url if url.startswith("${") else HIDDEN
    if not parts.netloc:
        return url if "${" in url else url.partition("?")[0]
    name = f"{parts.username}:{HIDDEN}@" if parts.password else f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, f"{name}{parts.hostname or ''}{port}", parts.path, "", ""))


def without_secrets(declared: dict[str, Any]) -> dict[str, Any]:
    """Return *declared* fit to be stored: with addresses masked, and without headers that are written out."""
    environments = {
        name: {**environment, "database": masked(environment["database"])}
        for name, environment in declared["rollout"]["environments"].items()
    }
    providers = [_provider(provider) for provider in declared["providers"]["providers"]]
    return {
        **declared,
        "rollout": {**declared["rollout"], "environments": environments},
        "providers": {**declared["providers"], "providers": providers},
    }


def _provider(declared: dict[str, Any]) -> dict[str, Any]:
    shown = dict(declared)
    if "endpoint" in declared:
        shown["endpoint"] = masked(declared["endpoint"])
    if "headers" in declared:
        shown["headers"] = {
            name: value if value.startswith("${") else HIDDEN for name, value in declared["headers"].items()
        }
    return shown
