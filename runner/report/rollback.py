"""A rollback that was asked for: what it will do, and what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.report.run import seconds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.store.ledger import Ledger, Run

VERSION = 1


def unchanged(rollout: str, level: str, stage: str) -> dict[str, Any]:
    """Return what is told where there was nothing to roll back, in the form of `facts`."""
    return {
        "version": VERSION,
        "run_id": None,
        "rollout": rollout,
        "level": level,
        "state": "unchanged",
        "final_stage": stage,
    }


def facts(ledger: Ledger, run: Run, promise_s: float) -> dict[str, Any]:
    """Return what the rollback *run* did, as the ledger has it; *promise_s* is what its level may take."""
    steps = dict(ledger.steps(run.id))
    entries = ledger.stages(rollout=run.rollout)
    took_s = seconds(run.started_at, run.finished_at) if run.finished_at else None
    undone = [entry for entry in reversed(entries) if entry.undone_by == run.id and entry.run_id != run.id]
    return {
        "version": VERSION,
        "run_id": run.id,
        "rollout": run.rollout,
        "environment": run.environment,
        "level": run.level,
        "state": run.state,
        "final_stage": run.final_stage,
        "seconds": took_s,
        "promise_s": promise_s,
        "within_promise": None if took_s is None else took_s <= promise_s,
        "snapshot": steps.get("snapshot", {}).get("id"),
        "stages_undone": [entry.stage for entry in undone],
        "observed": [
            {"stage": entry.stage, "ticks": entry.ticks, "breach": entry.breach, "metrics": ledger.verdicts(entry.id)}
            for entry in ledger.stages(run_id=run.id)
        ],
        "changed_by_others": [change for entry in undone for change in entry.summary.get("changed_by_others", ())],
        **{name: steps.get("rollback", {}).get(name, empty) for name, empty in _DID.items()},
        "verified": run.state == "rolled_back",
    }


_DID: dict[str, Any] = {"removed": {}, "put_back": {}, "reverted": [], "skipped": [], "kept": [], "staying": []}


def text(found: dict[str, Any], where: str) -> str:
    """Write what a rollback did for people."""
    if found["run_id"] is None:
        return f"{found['rollout']} on {where}: nothing to roll back; it stands at {found['final_stage']}"
    lines = [f"{found['rollout']} on {where}, rollback {found['level']}, run {found['run_id']}"]
    if found["snapshot"]:
        lines.append(_line("snapshot", f"{found['snapshot']} holds what was there: runner restore {found['snapshot']}"))
    if found["stages_undone"]:
        lines.append(_line("taken back", ", ".join(found["stages_undone"])))
    for stage in found["observed"]:
        ended = f"ended early: {stage['breach']}" if stage["breach"] else "within its thresholds"
        lines.append(_line("observed", f"{stage['stage']} for {stage['ticks']} ticks, {ended}"))
    lines += [_line(*row) for row in _changed(found)]
    lines += [_line("by others", change) for change in found["changed_by_others"]]
    promise = f"{found['promise_s'] / 60:g} min are promised"
    late = "" if found["within_promise"] else ", LATE"
    verified = "verified" if found["verified"] else "NOT verified"
    lines.append(f"rolled back to {found['final_stage']} after {found['seconds']:.1f} s ({promise}{late}), {verified}")
    return "\n".join(lines)


def _changed(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what was done to tables and schema: a label and a text each."""
    for table, rows in found["removed"].items():
        if rows or found["put_back"][table]:
            yield table, f"{_rows(rows)} removed{_back(found, table)}"
    if found["reverted"]:
        yield "reverted", ", ".join(found["reverted"])
    yield from _left(found, found["skipped"])


def _left(found: dict[str, Any], skipped: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what stays though the rollout made it or would drop it, and why."""
    if skipped:
        yield "not dropped", f"{', '.join(skipped)}: not the rollout's"
    for kept in found["kept"]:
        yield "kept", f"{kept['table']}: {kept['reason']}"
    if found["staying"]:
        yield "still applied", f"{', '.join(found['staying'])}, with the rows that they put into their tables"


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"


def _back(found: dict[str, Any], table: str) -> str:
    count = found["put_back"].get(table, 0)
    return f", {count} put back to what {'it was' if count == 1 else 'they were'}" if count else ""


def _line(label: str, value: str) -> str:
    return f"  {label:<21} {value}"


def preview(found: dict[str, Any], where: str) -> str:
    """Write what a rollback will do for people; *found* is what `assess` gave, as plain data."""
    if found["nothing"]:
        return f"{found['rollout']} on {where}: nothing to roll back"
    what = "would be refused, and nothing changed" if found["obstacles"] else "would do this, and has done nothing yet"
    lines = [f"{found['rollout']} on {where}: rollback {found['level']} {what}", *map(_cannot, found["obstacles"])]
    if found["stages"]:
        lines.append(_line("take back", ", ".join(found["stages"])))
    if found["observe_s"]:
        lines.append(_line("rows", f"{_rows(found['restored'])} to put back to what they were"))
        lines.append(_line("observe", f"{found['observe_s'] / 60:g} min at each stage that it steps back to"))
    lines += [_line("by others", f"{change}: a person is needed (exit code 9)") for change in found["conflicts"]]
    for table, rows in found["remove"].items():
        if rows or found["put_back"][table]:
            lines.append(_line(table, f"{_rows(rows)} to remove{_back(found, table).replace(' put', ' to put')}"))
    lines += [_line("revert", f"{each['migration']}: {' '.join(each['statements'])}") for each in found["revert"]]
    skipped = [what for each in found["revert"] for what in each["skipped"]]
    lines += [_line(*row) for row in _left(found, skipped)]
    lines.append(f"  a snapshot comes first; {found['promise_s'] / 60:g} min are promised")
    return "\n".join(lines)


def _cannot(problem: dict[str, Any]) -> str:
    return _line("in the way", f"{problem['what']}\n  {'':<21} {problem['fix']}")
