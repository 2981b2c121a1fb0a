"""One run as figures, and those figures as text."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from runner.report import check
from runner.store.ledger import EXIT_CRITERIA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.store.ledger import Ledger, Run, StageEntry

VERSION = 1
"""Of the JSON form. Grows when a key changes its meaning or goes away; new keys do not count."""
NOT_SEEDS = {EXIT_CRITERIA, "snapshot", "rollback"}
"""Steps that wrote no seeds, as all others did."""


def facts(ledger: Ledger, run: Run) -> dict[str, Any]:
    """Return what *run* did, as the ledger has it: plain data, ready for JSON."""
    steps = dict(ledger.steps(run.id))
    return {
        "version": VERSION,
        "run_id": run.id,
        "rollout": run.rollout,
        "environment": run.environment,
        "state": run.state,
        "target_stage": run.target_stage,
        "final_stage": run.final_stage,
        "message": run.message,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "migrations": [f"{row['version']}_{row['name']}" for row in ledger.migrations() if row["run_id"] == run.id],
        "seeds": {name: figures for name, figures in steps.items() if name not in NOT_SEEDS},
        "stages": [_stage(ledger, entry) for entry in ledger.stages(run_id=run.id)],
        "undone": [entry.stage for entry in _closed(ledger, run, "undone")],
        "abandoned": [entry.stage for entry in _closed(ledger, run, "abandoned")],
        "changed_by_others": [
            change for entry in _closed(ledger, run, "undone") for change in entry.summary.get("changed_by_others", ())
        ],
        "exit_criteria": steps.get(EXIT_CRITERIA),
    }


def _closed(ledger: Ledger, run: Run, state: str) -> list[StageEntry]:
    """Return the stages that *run* took back, or left as they were, newest first."""
    entries = reversed(ledger.stages(rollout=run.rollout))
    return [entry for entry in entries if entry.undone_by == run.id and entry.state == state]


def _stage(ledger: Ledger, entry: StageEntry) -> dict[str, Any]:
    return {
        "stage": entry.stage,
        "mode": entry.mode,
        "state": "breached" if entry.breach else entry.state,
        "ticks": entry.ticks,
        "entered_at": entry.entered_at,
        "left_at": entry.left_at,
        "digest": entry.digest,
        "breach": entry.breach,
        **json.loads(entry.summary_json),
        "metrics": ledger.verdicts(entry.id),
    }


def text(found: dict[str, Any], where: str) -> str:
    """Write a run for people: one line a step, most of it figures. *where* names environment and database."""
    lines = [f"{found['rollout']} on {where}, run {found['run_id']}", *_steps(found)]
    for stage in found["stages"]:
        lines += [f"  {stage['stage']:<15} {_did(stage)}", f"  {'':<15} {'; '.join(_measured(stage))}"]
    if found["undone"]:
        lines.append(f"  {'undone':<15} {', '.join(found['undone'])}: rows compared with what they were before")
    if found["abandoned"]:
        lines.append(f"  {'left as it is':<15} {', '.join(found['abandoned'])}: not taken back")
    lines += [f"  {'by others':<15} {change}" for change in found["changed_by_others"]]
    if found["exit_criteria"]:
        lines.append(f"  {'exit criteria':<15} {check.counts(found['exit_criteria'])}")
        lines += [f"  {'':<15} {line}" for line in check.missed(found["exit_criteria"])]
    lines.append(_ending(found))
    return "\n".join(lines)


def _steps(found: dict[str, Any]) -> Iterator[str]:
    if found["migrations"]:
        shown = found["migrations"] if len(found["migrations"]) < 6 else [*found["migrations"][:2], "…"]  # noqa: PLR2004
        yield f"  {'migrations':<15} {len(found['migrations'])} applied: {', '.join(shown)}"
    for step, counts in found["seeds"].items():
        one, many = ("row", "rows") if step == "providers" else ("entry", "entries")
        done = [
            f"{counts[what]} {one if counts[what] == 1 else many} {word}"
            for what, word in _WORDS.items()
            if counts[what]
        ]
        yield f"  {step:<15} {', '.join(done)}"


_WORDS = {
    "add": "added",
    "change": "changed",
    "warm": "warmed again after they had expired",
    "leave": "left as they are",
}


def _did(stage: dict[str, Any]) -> str:
    """Say how a stage ended and what it wrote."""
    ended = f"{'left at' if stage['state'] == 'entered' else stage['state'] + ' at'} tick {stage['ticks']}"
    if stage["mode"] == "shadow":
        digests = f"{_short(stage['before'])} = {_short(stage['after'])}"
        wrote = f"{stage['updates']} updates and {stage['refreshes']} refreshes rolled back, no row changed ({digests})"
        return f"{ended}: {wrote}"
    if stage["mode"] == "active":
        wrote = f"{stage['refreshed']} entries refreshed"
        return f"{ended}: {stage['active']} ACTIVE and enabled, {wrote}" if "active" in stage else f"{ended}: {wrote}"
    return ended


def _measured(stage: dict[str, Any]) -> Iterator[str]:
    """Say what a stage measured, each metric once; of one that is judged by provider, the highest."""
    by_stand_in = f" ({stage['stand_in']} answered by the stand-in)" if stage.get("stand_in") else ""
    yield f"{stage['targets']} provider rows probed{by_stand_in}"
    by_metric: dict[str, list[dict[str, Any]]] = {}
    for verdict in stage["metrics"]:
        by_metric.setdefault(verdict["metric"], []).append(verdict)
    for metric, found in by_metric.items():
        top = max(found, key=lambda verdict: (verdict["value"] is not None, verdict["value"] or 0))
        if top["value"] is None:
            yield f"{metric} {top['verdict']}"
            continue
        count, subject = top["observations"], f" at {top['subject']}, the highest" if top["subject"] else ""
        mark = "" if top["verdict"] == "pass" else f" [{top['verdict']}]"
        if metric.endswith("_pct") and count > 1:
            yield f"{metric} {top['value']:g} % ({round(top['value'] * count / 100)} of {count}){mark}"
        else:
            samples = sum(verdict["observations"] for verdict in found)
            noun = "sample" if samples == 1 else "samples"
            yield f"{metric} {top['value']:.4g}{subject} ({samples} {noun}){mark}"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:8]


def _ending(found: dict[str, Any]) -> str:
    stage = found["final_stage"]
    after = f" after {seconds(found['started_at'], found['finished_at']):.1f} s" if found["finished_at"] else ""
    match found["state"]:
        case "completed":
            return f"at {stage}{after}"
        case "rolled_back":
            return f"rolled back to {stage}{after}, verified, because {found['message']}"
        case "aborted":
            return f"{found['message']}; at {stage}{after}"
    return f"{found['state']}; `runner apply` goes on"


def seconds(start: str, end: str) -> float:
    """Return the seconds between two times as the ledger writes them; none where the clock was set back in between."""
    return max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
