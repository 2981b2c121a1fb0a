"""What may be shown of values that may be secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from urllib.parse import SplitResult

HIDDEN = "***"
ADDRESSES = frozenset({"database", "endpoint", "url"})
HEADERS = "headers"
"""Keys of the config under which secrets stand."""
NO_SECRET = re.compile(
    "accept(-.*)?|cache-control|content-type|from|host|origin|pragma|prefer|referer|user-agent|.*version", re.IGNORECASE
)
"""Headers that hold no credential."""
USER = re.compile(r"//([^/?#@]*)@")
QUERIED = re.compile(r"[?&]([^?&#=]*)=([^&#]+)")
CREDENTIAL = re.compile("key|token|secret|passw|auth|sig", re.IGNORECASE)
"""Who asks, what is asked for, and what of that is a credential by its name."""
LEFT = re.compile(r"(?<!\$)\$\{\w+(:-)?\}")
"""A variable without a default of its own."""


def is_secret(path: Sequence[str | int]) -> bool:
    """Say whether the value at *path* of a config may hold a secret: an address, or a header."""
    return bool(path) and (path[-1] in ADDRESSES or HEADERS in path)


def masked(url: str) -> str:
    """Return the database *url* without its password and query; variables that still stand in it are no secret."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return HIDDEN
    if "${" in url:
        return variable(url) or HIDDEN
    if not parts.netloc:
        found = re.match(r"[\w.+-]+:///[^?#]*", url)
        return found[0] if found else url and HIDDEN
    name = f"{parts.username}:{HIDDEN}@" if parts.password else f"{parts.username}@" if parts.username else ""
    return urlunsplit((parts.scheme, f"{name}{_host(parts)}{port}", parts.path, "", ""))


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"[{host}]" if ":" in host else host


def without_secrets(declared: dict[str, Any]) -> dict[str, Any]:
    """Return *declared* fit to be stored: with addresses masked, and without headers that are written out."""
    environments = {
        name: {**environment, "database": masked(environment["database"])}
        for name, environment in declared["rollout"]["environments"].items()
    }
    providers = [_provider(provider) for provider in declared["providers"]["providers"]]
    rollout = {**declared["rollout"], "environments": environments}
    if "exit_criteria" in rollout:
        rollout["exit_criteria"] = {
            category: {name: _criterion(criterion) for name, criterion in named.items()}
            for category, named in rollout["exit_criteria"].items()
        }
    return {
        **declared,
        "rollout": rollout,
        "providers": {**declared["providers"], "providers": providers},
    }


def _provider(declared: dict[str, Any]) -> dict[str, Any]:
    shown = dict(declared)
    if "endpoint" in declared:
        shown["endpoint"] = _endpoint(declared["endpoint"])
    if "headers" in declared:
        shown["headers"] = {name: variable(value) or HIDDEN for name, value in declared["headers"].items()}
    return shown


def _criterion(declared: dict[str, Any]) -> dict[str, Any]:
    return {**declared, "url": _endpoint(declared["url"])} if "url" in declared else declared


def _endpoint(url: str) -> str:
    """Return the variable that *url* is, or its host: tokens stand in front of it, in paths, queries and defaults."""
    if not url or variable(url):
        return url
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return HIDDEN
    return f"{parts.scheme}://{_host(parts)}{port}/{HIDDEN}" if parts.hostname and "${" not in url else HIDDEN


def _credentials(url: str) -> list[str]:
    """Return what is secret of an address beyond doubt: its password, and what its query names so."""
    values = [value for name, value in QUERIED.findall(url) if CREDENTIAL.search(name)]
    return [*(user.partition(":")[2] for user in USER.findall(url)), *values]


def written_out(declared: dict[str, Any]) -> frozenset[tuple[str, str]]:
    """Return which providers, and which of their headers, or `endpoint`, hold a credential that is no variable."""
    found = []
    for provider in declared["providers"]["providers"]:
        headers = provider.get("headers", {}).items()
        names = [name for name, value in headers if not NO_SECRET.fullmatch(name) and value and not LEFT.search(value)]
        if any(value and not LEFT.search(value) for value in _credentials(provider.get("endpoint", ""))):
            names.append("endpoint")
        found += [(provider["name"], name) for name in names]
    return frozenset(found)


def variable(text: str) -> str | None:
    """Return *text* where it is nothing but a variable without a default of its own; that is no secret."""
    return text if re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-)?\}", text) else None
