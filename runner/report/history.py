"""The audit trail: every run that ever was, as text and in the form that auditors get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.report import check

if TYPE_CHECKING:
    from runner.store.ledger import Ledger, Run


def trail(ledger: Ledger, rollout: str) -> dict[str, dict[str, Any]]:
    """Return the runs of *rollout*, oldest first, by `rollout_<id>`."""
    return {f"rollout_{run.id}": _line(ledger, run) for run in reversed(ledger.runs(rollout))}


def _line(ledger: Ledger, run: Run) -> dict[str, Any]:
    entries = ledger.stages(run_id=run.id)
    return {
        "target_stage": run.target_stage,
        "completed_stages": [entry.stage for entry in entries if entry.left_at],
        "failed_stages": [entry.stage for entry in entries if entry.breach],
        "final_stage": run.final_stage,
        "rollout_status": run.state,
        "level": run.level,
        "exit_criteria": check.brief(ledger.exit_criteria(run.id)),
        "environment": run.environment,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "message": run.message or run.stopped,
    }


def text(found: dict[str, dict[str, Any]]) -> str:
    """Write the audit trail for people, one run a line."""
    if not found:
        return "no run yet"
    return "\n".join(
        f"{run.removeprefix('rollout_')}  {line['started_at'][:19].replace('T', ' ')}  {line['rollout_status']:<12}"
        f" target {line['target_stage']}, ended at {line['final_stage'] or '(not finished)'};"
        f" completed {', '.join(line['completed_stages']) or 'none'}"
        + (f"; failed {', '.join(line['failed_stages'])}" if line["failed_stages"] else "")
        + (f"\n    exit criteria: {check.counts(line['exit_criteria'])}" if line["exit_criteria"] else "")
        + (f"\n    {line['message']}" if line["message"] else "")
        for run, line in found.items()
    )
