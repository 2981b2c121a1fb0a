"""Values as YAML text that reads back as just these values: whatever stands in them, and for other readers too."""

from __future__ import annotations

import re
from math import inf, isfinite
from typing import Any

from runner.config.duration import UNITS_S

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OTHERWISE = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that some reader of YAML takes for something else than text."""
_DIGITS = 18
LONGEST_KEY = 1000
"""YAML takes no key that is longer than 1,024 characters, quotes and escapes included."""
DEEPEST = 40


class Unwritable(ValueError):
    """A value that a config cannot hold."""


def text(value: str) -> str:
    """Return *value* as a scalar that stands for this text and no variable; Unwritable where it is no Unicode."""
    return _scalar(value.replace("${", "$${"))


def flow(value: Any, depth: int = 0) -> str:
    """Return a JSON *value* on one line; Unwritable where a config cannot hold it."""
    if depth > DEEPEST:
        raise Unwritable("it is nested too deep")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {flow(inner, depth + 1)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(inner, depth + 1) for inner in value) + "]"
    return text(value) if isinstance(value, str) else _constant(value)


def _constant(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() if len(str(abs(value))) <= _DIGITS:
            return str(value)
        case float() if isfinite(value):
            return repr(value)
    raise Unwritable(f"{value} is no number of 64 bits")


def duration(seconds: int) -> str:
    """Return whole *seconds*, above 0, as a duration."""
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, int(UNITS_S[unit]))
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts)


def _key(key: str) -> str:
    written = _scalar(key)  # in a key, `${` is no variable
    if len(written) > LONGEST_KEY:
        raise Unwritable("it has a key that is too long")
    return written


def _scalar(value: str) -> str:
    if _PLAIN.fullmatch(value) and value.lower() not in _OTHERWISE:
        return value
    import yaml  # noqa: PLC0415  23 ms, where something is written only

    try:
        value.encode()
    except UnicodeEncodeError:
        raise Unwritable("it is no Unicode text") from None
    written: str = yaml.dump(value, default_style='"', width=inf, allow_unicode=value.isprintable())
    return written.rstrip("\n")
