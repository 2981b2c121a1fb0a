"""Where a rollout stands: the stage, the tables, the last run, and what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.model import DISABLED
from runner.report import check, lock
from runner.store.lock import holder
from runner.store.tables import PORTFOLIO_RATIONALES

if TYPE_CHECKING:
    from datetime import datetime

    from runner.config.model import Rollout
    from runner.store.backend import Backend, Row
    from runner.store.ledger import Ledger, Run, StageEntry

VERSION = 1
FINAL = {"completed", "rolled_back", "aborted"}


def facts(rollout: Rollout, backend: Backend | None, ledger: Ledger | None, now: datetime) -> dict[str, Any]:
    """Return where *rollout* stands, as plain data. Without a *backend* there is no database yet."""
    found: dict[str, Any] = {
        "version": VERSION,
        "rollout": rollout.name,
        "environment": rollout.environment.name,
        "stage": DISABLED,
        "stages": [stage.name for stage in rollout.stages],
        "migrations_applied": 0,
        "migrations_declared": len(rollout.migrations),
        "run": None,
        "providers": None,
        "caches": None,
        "holder": None,
    }
    if backend is None or ledger is None:
        return found
    standing = ledger.standing(rollout.name)
    passed = [entry.stage for entry in standing if entry.state == "passed"]
    run = ledger.latest_run(rollout.name)
    found |= {
        "stage": passed[-1] if passed else DISABLED,
        "open": next((_entry(ledger, entry) for entry in standing if entry.state == "entered"), None),
        "migrations_applied": sum(row["state"] == "done" for row in ledger.migrations()),
        "run": _brief(ledger, run) if run else None,
        "holder": lock.facts(holder(backend), now),
        **_tables(backend, now),
    }
    return found


def _entry(ledger: Ledger, entry: StageEntry) -> dict[str, Any]:
    return {"stage": entry.stage, "ticks": entry.ticks, "metrics": ledger.verdicts(entry.id)}


def _brief(ledger: Ledger, run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "state": run.state,
        "target_stage": run.target_stage,
        "message": run.message,
        "stopped": run.stopped,
        "level": run.level,
        "exit_criteria": check.brief(ledger.exit_criteria(run.id)),
    }


def _tables(backend: Backend, now: datetime) -> dict[str, Row | None]:
    there = backend.tables()
    providers = (
        backend.rows(
            "SELECT count(*) AS declared, count(*) FILTER (WHERE status = 'ACTIVE') AS active,"
            " count(*) FILTER (WHERE is_enabled) AS enabled FROM provider_states"
        )
        if "provider_states" in there
        else [None]
    )
    caches = (
        backend.rows(
            "SELECT count(*) AS entries, count(*) FILTER (WHERE expires_at <= :now) AS expired"
            f" FROM {PORTFOLIO_RATIONALES.name} t WHERE {PORTFOLIO_RATIONALES.ours}",
            {"now": backend.time(now)},
        )
        if "portfolio_rationales" in there
        else [None]
    )
    return {"providers": providers[0], "caches": caches[0]}


def text(found: dict[str, Any], where: str, command: str) -> str:
    """Write where a rollout stands for people; *command* is what leads on."""
    rows = [
        ("stands at", found["stage"] + (f", in {_open(found['open'])}" if found.get("open") else "")),
        ("last run", _run(found["run"])),
        ("migrations", f"{found['migrations_applied']} of {found['migrations_declared']} applied"),
    ]
    if found["run"] and found["run"]["exit_criteria"]:
        rows.append(("exit criteria", check.counts(found["run"]["exit_criteria"])))
    if found["providers"]:
        count = found["providers"]
        rows.append(("providers", f"{count['declared']} rows, {count['active']} ACTIVE, {count['enabled']} enabled"))
    if found["caches"]:
        rows.append(("caches", f"{found['caches']['entries']} entries, {found['caches']['expired']} expired"))
    rows += [("lock", lock.who(found["holder"]) if found["holder"] else "free"), ("next", _next(found, command))]
    return "\n".join([f"{found['rollout']} on {where}", *(f"  {name:<14}{value}" for name, value in rows)])


def _open(entry: dict[str, Any]) -> str:
    waiting = [f"{row['metric']} {row['subject']}".strip() for row in entry["metrics"] if row["verdict"] != "pass"]
    missing = f" (not passing: {', '.join(waiting)})" if waiting else ""
    return f"{entry['stage']} after tick {entry['ticks']}{missing}"


def _run(run: dict[str, Any] | None) -> str:
    if run is None:
        return "none yet"
    why = run["message"] or run["stopped"]
    return f"{run['id']} {run['state']}, target {run['target_stage']}" + (f": {why}" if why else "")


_LEFT = {
    "undeclared": "stand that are declared no more",
    "newer": "were declared after the stage had been passed, and are not switched on",
}


def _next(found: dict[str, Any], command: str) -> str:
    if found["holder"] and found["holder"]["stands"]:
        return "a runner is at work"
    return _go_on(found["run"], command) or _refusal(found["next"], command) or _coming(found, command)


def _go_on(run: dict[str, Any] | None, command: str) -> str | None:
    """Say what leads on from a run that only one command leads on from."""
    if run is None or run["state"] in FINAL:
        return None
    if run["level"]:
        return f"`runner rollback --level {run['level']}` goes on with this rollback, `runner abort` ends it"
    if run["state"] == "stuck":
        return f"`{command}` tries the rollback again, `runner abort` leaves things as they are"
    return None


def _refusal(coming: dict[str, Any], command: str) -> str | None:
    return f"`{command}` would refuse: {coming['problems'][0]['what']}" if coming["apply"] == "refuses" else None


def _coming(found: dict[str, Any], command: str) -> str:
    run, coming, stages = found["run"], found["next"], found["stages"]
    if run and run["state"] not in FINAL:
        return f"`{command}` goes on with this run"
    if coming["apply"] == "nothing":
        left = [f"{len(coming[what])} rows {words}" for what, words in _LEFT.items() if coming[what]]
        return f"nothing; {', '.join(left)}" if left else "nothing: everything that is declared is applied"
    ahead = stages[stages.index(found["stage"]) + 1 :] if found["stage"] in stages else stages
    verb = "begins" if run is None else "goes on"
    return f"`{command}` {verb} at {ahead[0]}" if ahead else f"`{command}` brings the database to what is declared"
