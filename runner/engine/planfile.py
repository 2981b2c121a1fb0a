"""
A plan in a file: written by plan, and carried out by apply only as long as it is what apply would do by itself.

It holds what it was made of (config, migrations, database, place in the ledger), no secret, and a checksum of itself.
"""

from __future__ import annotations

import os
import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from runner.config.secret import masked
from runner.decide.diff import differences
from runner.errors import Mismatch, Problem, StepFailed, Where
from runner.store.connect import location
from runner.store.digest import canonical, from_file, of_text
from runner.store.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from runner.config.model import Rollout
    from runner.store.backend import Backend

FORM = 1
LARGEST_MIB = 256
SHOWN = 20
"""So many differences are shown to a person."""
_BEGINNING = re.compile(rb'\s*\{\s*"runner_plan"\s*:')


class Saved(NamedTuple):
    """A plan that was saved: where, and everything in it."""

    path: Path
    data: dict[str, Any]

    @property
    def config(self) -> Path:
        """The config that it was made of."""
        return Path(self.data["config"])

    @property
    def environment(self) -> str:
        """The environment of that config."""
        name: str = self.data["environment"]
        return name

    @property
    def target(self) -> str | None:
        """The stage that was asked for; None where none was."""
        name: str | None = self.data["target_stage"]
        return name

    @property
    def plan(self) -> dict[str, Any]:
        """The plan itself, as `planning.plan` made it."""
        found: dict[str, Any] = self.data["plan"]
        return found

    def refuse_other_config(self, rollout: Rollout, version: str) -> None:
        """Raise Mismatch where what is declared, or the *version* of runner, is not what the plan was made of."""
        old, new = self.data["inputs"], _inputs(rollout, version)
        lines = []
        if old["digest"] != new["digest"]:
            lines = differences(old["declared"], new["declared"]) or ["a value that is not shown"]
        lines += differences({"runner": old["runner"]}, {"runner": new["runner"]})
        lines += [
            f"migration {name} {_moved(old['migrations'].get(name), new['migrations'].get(name))}"
            for name in sorted({*old["migrations"], *new["migrations"]})
            if old["migrations"].get(name) != new["migrations"].get(name)
        ]
        lines += differences({"database": old["database"]}, {"database": new["database"]})
        self._refuse(lines)

    def refuse_other_database(self, rollout: Rollout, backend: Backend, now: datetime) -> None:
        """Raise Mismatch where apply would now do anything else than the plan says."""
        lines = differences(self.data["position"], _position(rollout, backend))
        from runner.engine.planning import plan  # noqa: PLC0415  apply imports this room only to see that there is no plan

        fresh = plan(rollout, backend, now, self.target)
        self._refuse(lines or differences(_essence(self.plan), _essence(fresh)))

    def _refuse(self, lines: list[str]) -> None:
        if not lines:
            return
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        told = "\n    ".join((*lines[:SHOWN], *more))
        words = ["runner", "plan", str(self.config), "--env", self.environment]
        words += ["--target-stage", self.target] if self.target else []
        command = shlex.join([*words, "--out", str(self.path)])
        raise Mismatch(
            Problem(
                f"the plan is out of date; other than when it was made:\n    {told}",
                Where(str(self.path)),
                f"look at a new one, and apply that: {command}",
            )
        )


def _moved(old: str | None, new: str | None) -> str:
    if old is None:
        return "is new"
    return "is gone" if new is None else "was edited"


def _inputs(rollout: Rollout, version: str) -> dict[str, Any]:
    """Return what a plan is made of and that can be known without opening the database."""
    environment = rollout.environment
    return {
        "runner": version,
        "digest": rollout.digest,
        "declared": rollout.declared,
        "migrations": {f"{each.version}_{each.name}": each.checksum for each in rollout.migrations},
        "database": location(environment.database, environment.engine) or masked(environment.database),
    }


def _position(rollout: Rollout, backend: Backend) -> dict[str, Any]:
    """Return which database this is, and where the ledger in it stands."""
    ledger = Ledger(backend)
    run = ledger.latest_run(rollout.name)
    return {
        "database id": ledger.database_id or "none",
        "run": f"{run.id} {run.state}" if run else "none",
        **{f"migration {row['version']}_{row['name']}": row["state"] for row in ledger.migrations()},
        **{f"stage {entry.stage}": f"{entry.state} at tick {entry.ticks}" for entry in ledger.standing(rollout.name)},
    }


def _essence(plan: dict[str, Any]) -> dict[str, Any]:
    """Return what of a plan does not depend on the time of day: under each path a value, every row for itself."""
    found: dict[str, Any] = {name: plan[name] for name in ("stands_at", "target_stage", "direction", "speed")}
    found |= {f"stand-in: {fault}": "ordered" for fault in plan["faults"]}
    for step in plan["steps"]:
        match step["step"]:
            case "migration":
                found[f"migration {step['version']}_{step['name']}"] = (
                    "begun before" if step["begun"] else "to be applied"
                )
            case "seed":
                found |= {f"{step['table']} {row['key']}": _said(row) for row in step["rows"]}
            case "stage":
                found |= {f"{step['stage']}: {path}": value for path, value in _stage(step)}
            case "take_back":
                rows = {f"{row['table']} {row['key']}": _changes(row) for row in step["rows"]}
                rows |= dict.fromkeys(step["conflicts"], "cannot be taken back")
                found |= {f"{step['stage']} taken back: {row}": said for row, said in rows.items()}
    return found


def _said(row: dict[str, Any]) -> str:
    """Say in one line what is to be done with a row; the values of a new one follow from the config."""
    return f"to {row['what']}: {_changes(row)}" if row["what"] == "change" else f"to {row['what']}"


def _changes(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} from {canonical(row['before'].get(name))} to {canonical(value)}"
        for name, value in row["after"].items()
    )


def _stage(step: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a stage will do, path by path. How many entries will be due is a matter of time."""
    for name in ("mode", "ticks", "ticks_left", "interval_s", "deadline_s"):
        yield name, step[name]
    for name in ("probes", "switches", "refreshes"):
        details = step[name] or {}
        yield from ((f"{name} {key}", canonical(details[key])) for key in details if key not in {"due", "keys"})
    yield from ((f"switches {key}", "on") for key in (step["switches"] or {"keys": ()})["keys"])


def make(rollout: Rollout, backend: Backend, plan: dict[str, Any], target: str | None, version: str) -> dict[str, Any]:
    """Return what is to be saved: *plan* and what it was made of."""
    data = {
        "runner_plan": FORM,
        "config": str(rollout.path.absolute()),
        "environment": rollout.environment.name,
        "target_stage": target,
        "inputs": _inputs(rollout, version),
        "position": _position(rollout, backend),
        "plan": plan,
    }
    return {**data, "checksum": of_text(canonical(data))}


def is_plan(path: Path) -> bool:
    """Say whether there is a plan at *path*, by how the file begins."""
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return bool(_BEGINNING.match(file.read(100)))
    except OSError:
        return False


def write(path: Path, data: dict[str, Any]) -> None:
    """
    Write *data* to *path*: whole or not at all, for its owner's eyes only.

    StepFailed where that cannot be done, or another file is there that is no plan.
    """
    if path.exists() and not is_plan(path):
        what = f"{path} is there already, and is no plan"
        raise StepFailed(Problem(what, fix="name another file: --out; or remove that one"))
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(canonical_in_order(data))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        what = f"cannot write the plan: {error.strerror}"
        fix = "make room, or name a file in a folder that can be written to: --out"
        raise StepFailed(Problem(what, Where(str(path)), fix)) from error


def canonical_in_order(data: dict[str, Any]) -> str:
    """Write *data* as `canonical` does, but its own keys as they come: a plan is known by the first one."""
    return "{" + ",".join(f"{canonical(name)}:{canonical(value)}" for name, value in data.items()) + "}\n"


def read(path: Path) -> Saved:
    """Return the plan at *path*; Mismatch where it is damaged, was edited, or is of a form that is not known."""
    where = Where(str(path))
    try:
        size_mib = path.stat().st_size >> 20
        if size_mib > LARGEST_MIB:
            raise Mismatch(Problem(f"the plan has {size_mib} MiB; {LARGEST_MIB} are the most", where, _NEW))
        data = from_file(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Mismatch(Problem(f"the plan cannot be read: {error}", where, _NEW)) from error
    if data.get("runner_plan") != FORM:
        what = f"the plan has form {data.get('runner_plan')}, this runner knows form {FORM}"
        raise Mismatch(Problem(what, where, _NEW))
    checksum = data.pop("checksum", None)
    if checksum != of_text(canonical(data)) or not _has_form(data):
        what = "the plan is not as it was written: its checksum is another"
        raise Mismatch(Problem(what, where, _NEW))
    return Saved(path, data)


def _has_form(data: dict[str, Any]) -> bool:
    """Say whether everything is in *data* that is asked of a plan."""
    try:
        inputs = data["inputs"]
        texts = [data["config"], data["environment"], inputs["runner"], inputs["digest"], inputs["database"]]
        texts += [] if data["target_stage"] is None else [data["target_stage"]]
        _essence(data["plan"])
        return all(isinstance(text, str) for text in texts) and all(
            isinstance(value, dict) for value in (inputs["migrations"], inputs["declared"], data["position"])
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


_NEW = "make a new one: runner plan --out"
