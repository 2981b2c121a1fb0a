"""Who holds the lock, as data and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from runner.store.lock import Holder

VERSION = 1
"""Of the JSON form of `unlock`. Grows when a key changes its meaning or goes away; new keys do not count."""


def facts(holder: Holder | None, now: datetime) -> dict[str, Any] | None:
    """
    Return who holds the lock as plain data; None where nobody does.

    `is_gone` and `is_alive` are of a process of this machine; of one elsewhere neither is known. `stands` says whether
    another runner respects the lock.
    """
    return {**holder.plain(), "stands": holder.stands(now)} if holder else None


def who(found: dict[str, Any]) -> str:
    """Name who holds the lock, and say whether it still does."""
    machine = found["host"].partition("/")[0]
    return f"held by process {found['pid']} on {machine} since {found['held_since']}{_unless(found)}"


def _unless(found: dict[str, Any]) -> str:
    if found["is_gone"]:
        return ", which is gone"
    return "" if found["stands"] else ", whose lease is over"


def text(found: dict[str, Any] | None, where: str, command: str) -> str:
    """Write who holds the lock for people, and how it is broken; *command* is that which shows it."""
    if found is None:
        return f"{where}: nobody holds the lock"
    rows = [
        ("lock", who(found)),
        ("holder", found["holder"]),
        ("lease", f"ends at {found['expires_at']}, unless it is renewed until then"),
        ("process", _process(found)),
        ("to break it", f"{command} --holder {found['holder']}"),
    ]
    return "\n".join([where, *(f"  {name:<12}{value}" for name, value in rows)])


def _process(found: dict[str, Any]) -> str:
    if found["is_gone"]:
        return "is gone; the next runner takes over at once, and nothing has to be broken"
    if found["is_alive"]:
        return f"runs on this machine; `kill {found['pid']}` stops it at its next safe point"
    if not found["stands"]:
        return "nothing is known of it here; the next runner takes over at once, and nothing has to be broken"
    return "nothing is known of it here; the next runner takes over when the lease is over"


def removed(found: dict[str, Any] | None, where: str) -> str:
    """Say what became of the lock that was to be broken."""
    if found is None:
        return f"{where}: nobody holds the lock, and nothing was broken"
    said = f"{where}: the lock of holder {found['holder']} is broken (it was {who(found)})"
    if found["is_alive"]:
        return f"{said}; it still runs, can commit nothing any more, and will end with exit code 6"
    if not found["is_gone"]:
        return f"{said}; if it still runs, it can commit nothing any more, and will end with exit code 6"
    return said
