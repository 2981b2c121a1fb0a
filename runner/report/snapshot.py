"""Snapshots for people: which there are, and what bringing one back would take away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from runner.errors import Problem
    from runner.store.backend import Loss
    from runner.store.snapshot import Snapshot

VERSION = 1
KIB = 1024


def facts(snapshot: Snapshot) -> dict[str, Any]:
    """Return what is known of *snapshot*, as plain data."""
    return {**snapshot._asdict(), "rows": snapshot.rows}


def listing(found: Sequence[Snapshot], problems: Iterable[Problem], database_id: str | None) -> str:
    """Write one snapshot a line, newest first; those of other databases say so."""
    lines = [
        f"{each.id}  {_moment(each)}  {each.stage:<15} {len(each.tables):>3} tables {each.rows:>9,} rows"
        f" {size(each.size_bytes):>10}  {each.reason}"
        + ("" if each.database_id == database_id else f" (of another database: {each.environment})")
        for each in found
    ]
    return "\n".join([*(lines or ["no snapshot yet"]), *map(str, problems)])


def taken(snapshot: Snapshot, folder: str) -> str:
    """Write what was taken."""
    return (
        f"snapshot {snapshot.id} taken: {len(snapshot.tables)} tables, {snapshot.rows:,} rows,"
        f" {size(snapshot.size_bytes)} in {folder}; every row compared"
    )


def losses(snapshot: Snapshot, found: Sequence[Loss], stage: str, migrations: Sequence[str]) -> dict[str, Any]:
    """Return what bringing *snapshot* back would take away, as plain data; *stage* is where the rollout stands now."""
    return {
        "version": VERSION,
        "snapshot": facts(snapshot),
        "stage": stage,
        "migrations": list(migrations),
        "tables": [loss._asdict() for loss in found],
    }


def warning(snapshot: Snapshot, found: Sequence[Loss], stage: str, migrations: Sequence[str], where: str) -> str:
    """Write what bringing *snapshot* back would take away, for people."""
    moved = f"; it stands at {stage} now" if stage != snapshot.stage else ""
    lines = [
        f"snapshot {snapshot.id} of {snapshot.rollout} on {where}",
        f"  taken         {_moment(snapshot)} UTC, {snapshot.reason}, at {snapshot.stage}{moved}",
        f"  brings back   {len(snapshot.tables)} tables, {snapshot.rows:,} rows",
    ]
    if migrations:
        lines.append(f"  migrations    {', '.join(migrations)} will count as not applied")
    if not found:
        return "\n".join([*lines, "nothing that was done to these tables since would be lost"])
    return "\n".join([*lines, "what was done since would be lost:", *(f"  {_loss(loss)}" for loss in found)])


def _loss(loss: Loss) -> str:
    if loss.is_dropped:
        return f"{loss.table}: made since; dropped with {_rows(loss.added)}"
    said = [
        f"{_rows(rows)} {word}" + (f" ({', '.join(keys)}{', …' if rows > len(keys) else ''})" if keys else "")
        for rows, word, keys in (
            (loss.added, "added", loss.added_keys),
            (loss.changed, "changed", loss.changed_keys),
            (loss.removed, "removed", loss.removed_keys),
        )
        if rows
    ]
    if loss.columns:
        said.append(f"new columns {', '.join(loss.columns)}")
    elif loss.is_remade:
        said.append("its form was changed")
    return f"{loss.table}: {'; '.join(said)}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _moment(snapshot: Snapshot) -> str:
    return snapshot.created_at[:19].replace("T", " ")


def size(count: int) -> str:
    """Write a number of bytes as people read it."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < KIB or unit == "GiB":
            break
        value /= KIB
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
