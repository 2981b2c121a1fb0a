"""What a run looks like on a terminal: a line for each thing that happens, and one that moves with the ticks."""

from __future__ import annotations

from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any, TextIO

from runner.config.wording import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.events import Event, Sink

BAR = 12
QUIET = {"row.shadowed", "provider.activated"}
"""Told one by one to the log; a terminal shows their sum with the stage."""


def view(stream: TextIO) -> Sink:
    """Return a sink that draws a run on the terminal behind *stream*."""
    failing: set[tuple[Any, ...]] = set()

    def draw(event: Event) -> None:
        if event.name == "probe.failed":
            cause = tuple(event.fields.get(name) for name in ("stage", "provider", "cause"))
            if cause in failing:
                return
            failing.add(cause)
        if event.name == "tick.recorded":
            stream.write(f"\r\x1b[K{visible(_tick(event.fields))}")
        elif event.name not in QUIET:
            stream.write(f"\r\x1b[K{event.at:%H:%M:%S} {visible(_line(event))}\n")
        stream.flush()

    return draw


def _tick(fields: dict[str, Any]) -> str:
    done = min(1.0, fields["tick"] / fields["ticks"])
    bar = "#" * round(done * BAR)
    highest: dict[str, float] = {}
    for name, value in fields.items():
        if name not in _NOT_FIGURES and isinstance(value, int | float):
            metric = name.partition(".")[0]
            highest[metric] = max(value, highest.get(metric, value))
    figures = "  ".join(f"{name} {value:.4g}" for name, value in highest.items())
    extra = f" +{fields['tick'] - fields['ticks']}" if fields["tick"] > fields["ticks"] else ""
    tick = f"{min(fields['tick'], fields['ticks'])}/{fields['ticks']}{extra}"
    line = f"{fields['stage']} [{bar:<{BAR}}] {tick}  {figures}"
    return line[: get_terminal_size().columns - 1]


_NOT_FIGURES = {"tick", "ticks", "stage", "rollout", "run_id", "observations", "verdicts"}


def _line(event: Event) -> str:
    fields = event.fields
    tell = _TEXTS.get(event.name)
    if tell:
        return tell(fields)
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in {"rollout", "run_id"})
    return f"{event.name} {rest}"


def _holder(fields: dict[str, Any]) -> str:
    return f"process {fields['pid']} on {fields['host'].partition('/')[0]}"


_TEXTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "run.started": lambda f: f"run {f['run_id']} begins, target {f['target_stage']}",
    "run.resumed": lambda f: f"run {f['run_id']} goes on ({f['state']}), target {f['target_stage']}",
    "run.completed": lambda f: f"done: {f['final_stage']} is reached",
    "run.rolled_back": lambda f: f"rolled back to {f['final_stage']}, verified",
    "run.walked_back": lambda f: f"walked back to {f['final_stage']}, verified",
    "run.interrupted": lambda _: "stopped at a safe point",
    "run.failed": lambda f: f"failed: {f['problems'][0]['what']}",
    "run.stuck": lambda f: f"stuck: {f['cause']}",
    "run.aborted": lambda f: f"aborted; at {f['final_stage']}",
    "run.refused": lambda f: f"refused: {f['problems'][0]['what']}",
    "lock.awaited": lambda f: f"waiting for another runner, {_holder(f)}, {f['timeout_s']:g} s at the most",
    "lock.inherited": lambda f: (
        f"took over from {_holder(f)}, {'which is gone' if f['is_gone'] else 'whose lease is over'}"
    ),
    "lock.removed": lambda f: f"the lock of {_holder(f)} is broken",
    "network.noticed": lambda f: (
        f"the database lies on {f['file_system']}, mounted at {f['mounted_at']}: locks are not to be trusted there; "
        "put it on a local disk"
    ),
    "migration.applied": lambda f: f"migration {f['version']}_{f['name']} applied",
    "seed.applied": lambda f: f"{f['step']}: {f['added']} added, {f['changed']} changed, {f['left']} left as they are",
    "cache.warmed": lambda f: f"{f['rows']} cache entries had expired and were warmed again",
    "stage.entered": lambda f: (
        f"{f['stage']} entered: {f['mode']}, {f['targets']} provider rows probed, {f['ticks']} ticks"
    ),
    "stage.passed": lambda f: f"{f['stage']} passed",
    "stage.held": lambda f: f"{f['stage']} holds, waiting for: {'; '.join(f['waiting_for'])}",
    "stage.breached": lambda f: f"{f['stage']} breached: {f['cause']}",
    "stage.undone": lambda f: f"{f['stage']} taken back: {f['rows']} rows restored, every value compared",
    "stage.observed": lambda f: (
        f"{f['stage']} observed: " + (f"would have breached: {f['breach']}" if f["breach"] else f"{f['ticks']} ticks")
    ),
    "seed.removed": lambda f: f"{f['table']}: {f['removed']} rows removed, {f['put_back']} put back to what they were",
    "migration.reverted": lambda f: f"migration {f['migration']} reverted",
    "table.retained": lambda f: f"table {f['table']} stays: {f['reason']}",
    "shadow.rolled_back": lambda f: f"{f['updates']} updates and {f['refreshes']} refreshes tried and rolled back",
    "snapshot.taken": lambda f: f"snapshot {f['id']} taken {f['reason']}: {f['rows']} rows, every one compared",
    "snapshot.pruned": lambda f: f"snapshot {f['id']} removed: it is too old",
    "ledger.pruned": lambda f: f"the ledger has forgotten {f['samples']} samples from before {f['before'][:10]}",
    "snapshot.restored": lambda f: f"snapshot {f['id']} restored, every row compared; at {f['final_stage']}",
    "cache.refreshed": lambda f: f"{f['rows']} cache entries refreshed",
    "probe.failed": lambda f: f"{f['provider']} (first {f['sport']}): {f['cause']}",
    "threshold.warned": lambda f: f"{f['stage']} warns: {f['warning']}",
    "criteria.checked": lambda f: f"exit criteria: {', '.join(f['missed']) or 'none'} missed of {f['total']}",
    "metric.failed": lambda f: f"{f['metric']} could not be measured: {f['cause']}",
}
