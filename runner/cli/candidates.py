"""
What a shell may offer for an option: names that the config at *path*, or the disk, knows.

Never slow, and never an error: where something is wrong, or strange, nothing is offered. No database is opened.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runner.config.model import DISABLED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

LARGEST = 1 << 20
"""Bytes of a config that are read while somebody waits for a completion."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
"""Names that a shell takes as they are; what a config may call things is narrower."""


def environments(path: Path, _: str | None) -> list[str]:
    """Return the environments that are declared."""
    declared = _config(path).get("environments")
    return _plain(declared if isinstance(declared, dict) else ())


def stages(path: Path, _: str | None) -> list[str]:
    """Return the stages that are declared, `disabled` first."""
    declared = _config(path).get("stages")
    names = _plain(each.get("name") for each in declared if isinstance(each, dict)) if declared else []
    return [DISABLED, *names] if names else []


def snapshots(path: Path, environment: str | None) -> list[str]:
    """Return the snapshots of *environment*, newest first."""
    return sorted(_plain(_kept(path, environment)), reverse=True)


def _kept(path: Path, environment: str | None) -> Iterator[str]:
    from runner.config.load import load
    from runner.engine.keeping import shelf_of

    if path.stat().st_size <= LARGEST:
        yield from (manifest.stem for manifest in shelf_of(load(path, environment)).folder.glob("*.json"))


def _plain(names: Iterable[Any]) -> list[str]:
    return [name for name in names if isinstance(name, str) and _NAME.fullmatch(name)]


def _config(path: Path) -> dict[str, Any]:
    """Return the plain data of a config, valid or not; nothing where it has none."""
    from runner.config.yamlfile import read

    data = read(path, "").data if path.stat().st_size <= LARGEST else None
    return data if isinstance(data, dict) else {}
