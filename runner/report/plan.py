"""A plan as text, with the symbols that people know from other tools. The JSON form is the plan itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.wording import plain
from runner.store.digest import canonical
from runner.store.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    Found = dict[str, Any]

MANY = 10
"""So many things of a kind are shown one by one; --json has them all."""
STATEMENTS, LINES = 6, 3
"""So many statements of a migration are shown, and so many lines of each."""
WIDTH = 100
SYMBOL = {"add": "+", "change": "~", "warm": "~"}
STAGE_SYMBOL = {"observe": "<=", "shadow": "<=", "active": "~"}
LEGEND = "  + add   ~ change   - take back   <= read only   ! cannot be done"
MINUTE_S, HOUR_S = 60, 3600


def text(found: Found, where: str) -> str:
    """Write a plan for people; *where* names environment and database."""
    head = f"{found['rollout']} on {where}"
    if not found["pending"]:
        said = f"No changes. {head} stands at {found['stands_at']}, and all that is declared is there."
        return "\n".join([said, *_notes(found)])
    lines = [f"{head}: {_way(found)}", *_notes(found), "", LEGEND]
    for title, part in (
        (_migrations_title, "migration"),
        (_seeds_title, "seed"),
        (_stages_title, "stage"),
        (_back_title, "take_back"),
    ):
        steps = [step for step in found["steps"] if step["step"] == part]
        if steps:
            lines += ["", title(found, steps), *(line for step in _WRITE[part](found, steps) for line in step)]
    return "\n".join([*lines, "", *_ending(found), _summary(found)])


def _way(found: Found) -> str:
    here, there = found["stands_at"], found["target_stage"]
    if found["direction"] == "back":
        return f"back from {here} to {there}"
    return f"it stands at {here}, and stays there" if here == there else f"from {here} to {there}"


def _notes(found: Found) -> Iterator[str]:
    """Say what one has to know beside the steps."""
    run = found["run"]
    if run:
        why = f": {run['message'] or run['stopped']}" if run["message"] or run["stopped"] else ""
        yield f"  Goes on with run {run['id']}, which is {run['state']}{why}"
    if found["accept_changes"]:
        yield "  The config is no longer the one that this run began with; apply wants --accept-changes:"
        yield from (f"      {line}" for line in _shortened(found["accept_changes"]))
    if found["held_by"]:
        yield f"  Another runner is at work, and this will not be what is left after it: {found['held_by']}"
    if found["faults"]:
        yield f"  The stand-in is told to misbehave: {', '.join(_shortened(found['faults']))}"
    for name, words in (
        ("undeclared", "declared no more, and left as they are"),
        ("newer", "declared after their stage had been passed, and not switched on"),
    ):
        if found[name]:
            yield f"  {_count(len(found[name]), 'row')} {words}: {', '.join(_shortened(found[name]))}"


# migrations


def _migrations_title(_: Found, steps: list[Found]) -> str:
    return f"Migrations: {len(steps)} to apply"


def _migrations(_: Found, steps: list[Found]) -> Iterator[list[str]]:
    for step in steps[:MANY]:
        yield list(_migration(step))
    if len(steps) > MANY:
        yield [f"  … and {len(steps) - MANY} more, up to {_name(steps[-1])} (--json has them all)"]


def _name(step: Found) -> str:
    return f"{step['version']}_{step['name']}"


def _migration(step: Found) -> Iterator[str]:
    how = [
        "" if step["in_transaction"] else "outside of a transaction",
        "destructive" if step["destructive"] else "",
        "begun before, and checked first" if step["begun"] else "",
    ]
    said = ", ".join(word for word in how if word)
    yield f"  + {_name(step)}{f' ({said})' if said else ''}"
    for statement in step["statements"][:STATEMENTS]:
        first, *more = statement["sql"].splitlines()
        yield from (f"      {_cut(line)}" for line in (first, *more[: LINES - 1]))
        if len(more) >= LINES:
            yield f"      … {_count(len(more) - LINES + 1, 'line')} more"
    if len(step["statements"]) > STATEMENTS:
        yield f"      … {_count(len(step['statements']) - STATEMENTS, 'statement')} more"
    down = _count(len(step["rollback"]), "statement")
    yield f"    rollback: {f'migrate:down, {down}' if step['rollback'] else 'none, it has no migrate:down'}"


# seeds


def _seeds_title(_: Found, steps: list[Found]) -> str:
    counts = {what: sum(step[what] for step in steps) for what in ("add", "change", "warm", "leave")}
    return f"Seeds: {', '.join(f'{count} to {what}' for what, count in counts.items())}"


def _seeds(_: Found, steps: list[Found]) -> Iterator[list[str]]:
    for step in steps:
        yield list(_seed(step))


def _seed(step: Found) -> Iterator[str]:
    counts = ", ".join(f"{step[what]} to {what}" for what in ("add", "change", "warm", "leave") if step[what])
    yield f"  {step['seed']}, table {step['table']}: {counts}"
    order = ("change", "add", "warm")  # what is done to a row that stands is looked at first
    rows = sorted(step["rows"], key=lambda row: order.index(row["what"]))
    yield from _listed("    ", [(SYMBOL[row["what"]], row["key"], _row(row)) for row in rows[:MANY]])
    if len(rows) > MANY:
        yield f"    … and {len(rows) - MANY} more (--json has them all)"
    undo = [
        f"{_count(step['rollback']['deletes'], 'row')} deleted" if step["rollback"]["deletes"] else "",
        f"{_count(step['rollback']['sets_back'], 'row')} set back" if step["rollback"]["sets_back"] else "",
    ]
    if any(undo):
        yield f"    rollback: {', '.join(filter(None, undo))}"


def _row(row: Found) -> str:
    if row["what"] == "warm":
        return f"expired at {row['before']['expires_at']}"
    if row["what"] == "add":
        values = {name: _value(value) for name, value in row["after"].items() if name != "data_hash"}
        short_first = sorted(values.items(), key=lambda item: item[1].startswith(("{", "[")))
        return ", ".join(f"{name} {value}" for name, value in short_first)
    return ", ".join(_changes(row, row["after"])) or "its start is declared anew, and stays as it is"


def _changes(row: Found, columns: Iterable[str]) -> list[str]:
    return [f"{name} {_value(row['before'].get(name))} -> {_value(row['after'][name])}" for name in columns]


def _value(value: Any) -> str:
    return plain(value if isinstance(value, str) else canonical(int(value) if isinstance(value, bool) else value))


def _listed(indent: str, rows: list[tuple[str, str, str]]) -> Iterator[str]:
    """Write a symbol, a key and what is said of it on each line, one below the other."""
    width = max((len(key) for _, key, _ in rows), default=0)
    for symbol, key, said in rows:
        yield f"{indent}{symbol} {key:<{width}}  {_cut(said)}"


# stages


def _stages_title(found: Found, steps: list[Found]) -> str:
    speed = "" if found["speed"] == 1 else f", {found['speed']:g} times as fast as declared"
    return f"Stages: {len(steps)} to pass{speed}"


def _stages(found: Found, steps: list[Found]) -> Iterator[list[str]]:
    for step in steps:
        yield list(_stage(found, step))


def _stage(found: Found, step: Found) -> Iterator[str]:
    declared = "" if found["speed"] == 1 else f" ({duration(step['declared_s'])} as declared)"
    ticks = f"{_count(step['ticks_left'], 'tick')} of {duration(step['interval_s'])}"
    left = f", {step['ticks'] - step['ticks_left']} of {step['ticks']} done" if step["goes_on"] else ""
    yield (
        f"  {STAGE_SYMBOL[step['mode']]:<2} {step['stage']}: {step['mode']}, {duration(step['takes_s'])}{declared},"
        f" {ticks}{left}"
    )
    for name, said in (
        ("probes", _probes(step["probes"])),
        ("thresholds", "; ".join(map(_threshold, step["thresholds"]))),
        ("tries" if step["mode"] == "shadow" else "switches", _switches(step["switches"])),
        ("tries" if step["mode"] == "shadow" else "refreshes", _refreshes(step["refreshes"])),
        ("rollback", _rollback(step)),
    ):
        if said:
            yield f"       {name + ':':<12} {said}"


def _probes(probes: Found | None) -> str:
    if probes is None:
        return ""
    by_stand_in = f", {probes['stand_in']} answered by the stand-in" if probes["stand_in"] else ""
    return f"{_count(probes['rows'], 'row')}: {', '.join(_shortened(probes['providers']))}{by_stand_in}"


def _threshold(threshold: Found) -> str:
    limits = [
        f"{sign} {threshold[name]:g}" for name, sign in (("min", ">="), ("max", "<=")) if threshold[name] is not None
    ]
    limits += [
        f"warns {sign} {threshold[name]:g}"
        for name, sign in (("warn_min", "below"), ("warn_max", "above"))
        if threshold[name] is not None
    ]
    details = [threshold["statistic"]]
    if threshold["by_provider"]:
        details.append("by provider")
    if threshold["min_samples"] > 1:
        details.append(f"from {threshold['min_samples']} samples")
    for name, words in (("failure_limit", "failing ticks allowed"), ("consecutive_failure_limit", "in a row allowed")):
        if threshold[name]:
            details.append(f"{threshold[name]} {words}")
    return f"{threshold['metric']} {', '.join(limits)} ({', '.join(details)})"


def _switches(switches: Found | None) -> str:
    if switches is None:
        return ""
    already = switches["selected"] - switches["rows"]
    rest = f"; {already} of the {switches['selected']} selected are on already" if already else ""
    names = f": {', '.join(_shortened(switches['providers']))}" if switches["providers"] else ""
    return f"{_count(switches['rows'], 'row')} on{names}{rest}"


def _refreshes(refreshes: Found | None) -> str:
    if refreshes is None:
        return ""
    due = ", ".join(f"{count} {kind}" for kind, count in refreshes["due"].items())
    total = sum(refreshes["due"].values())
    within = refreshes["expiring_within_s"]
    which = "" if within is None else f" that expire within {duration(within)}"
    kinds = "" if refreshes["types"] is None else f" of type {', '.join(refreshes['types'])}"
    return f"{_count(total, 'entry', 'entries')}{which}{kinds}{f': {due}' if due else ''}"


def _rollback(step: Found) -> str:
    goes = f"a breach goes back to {step['rollback']['to']}"
    rows, entries = step["switches"], step["refreshes"]
    wrote = step["mode"] == "active" and [
        f"{_count(rows['rows'], 'row')}" if rows and rows["rows"] else "",
        _count(sum(entries["due"].values()), "entry", "entries") if entries and entries["due"] else "",
    ]
    others = ", ".join(name for name in step["rollback"]["takes_back"] if name != step["stage"])
    restores = f", restores {' and '.join(filter(None, wrote))}" if wrote and any(wrote) else ""
    return f"{goes}{restores}{f', and takes back {others}' if others else ''}"


# the way back


def _back_title(_: Found, steps: list[Found]) -> str:
    return f"Way back: {_count(len(steps), 'stage')} to take back, newest first, each compared with how it was"


def _back(_: Found, steps: list[Found]) -> Iterator[list[str]]:
    for step in steps:
        yield list(_take_back(step))


def _take_back(step: Found) -> Iterator[str]:
    rows = f"{_count(len(step['rows']), 'row')} to restore" if step["rows"] else "it wrote nothing"
    yield f"  - {step['stage']}: {step['mode']}, {rows}"
    yield from _listed("      ", [("~", row["key"], _restored(row)) for row in step["rows"][:MANY]])
    if len(step["rows"]) > MANY:
        yield f"      … and {len(step['rows']) - MANY} more (--json has them all)"
    yield from (f"      ! {conflict}" for conflict in _shortened(step["conflicts"]))


def _restored(row: Found) -> str:
    """Say what a row goes back to: what the stage had decided, and how many columns beside it."""
    table = next(table for table in TABLES if table.name == row["table"])
    decided = [name for name in row["after"] if name in table.switched]
    live = [name for name in row["after"] if name in table.live]
    said = _changes(row, decided)
    if live:
        said.append(f"{_count(len(live), 'column')} that probes keep")
    return ", ".join(said)


_WRITE = {"migration": _migrations, "seed": _seeds, "stage": _stages, "take_back": _back}


# the end


def _ending(found: Found) -> Iterator[str]:
    if found["snapshot"]:
        yield "Before it all: a snapshot of the tables that the rollout may touch"
    if found["exit_criteria"]:
        yield f"After it all: {found['exit_criteria']} exit criteria are checked"
    if found["takes_s"]:
        at = found["earliest_end_at"][:19].replace("T", " ")
        yield f"Earliest end: {at} UTC, {duration(found['takes_s'])} from now"
    if found["irreversible"]:
        shown = _shortened([f"{each['migration']} ({each['why']})" for each in found["irreversible"]])
        yield f"Cannot be undone: {', '.join(shown)}; only `runner restore` brings back what was there"
    elif found["direction"] == "forward":
        yield "Cannot be undone: nothing; every step can be"


def _summary(found: Found) -> str:
    steps = found["steps"]
    if found["direction"] == "back":
        stages = [step for step in steps if step["step"] == "take_back"]
        rows = sum(len(step["rows"]) for step in stages)
        summary = f"Plan: {_count(len(stages), 'stage')} to take back, {_count(rows, 'row')} to restore"
        conflicts = {conflict for step in stages for conflict in step["conflicts"]}
        stuck = f"; {_count(len(conflicts), 'value')} changed by others, and a person is needed (exit code 9)"
        return f"{summary}{stuck if conflicts else ''}."
    migrations = sum(step["step"] == "migration" for step in steps)
    seeds = [step for step in steps if step["step"] == "seed"]
    counts = {what: sum(step[what] for step in seeds) for what in ("add", "change", "warm")}
    stages = sum(step["step"] == "stage" for step in steps)
    least = f", {duration(found['takes_s'])} at least" if stages else ""
    return (
        f"Plan: {_count(migrations, 'migration')} to apply, {_count(counts['add'], 'row')} to add,"
        f" {counts['change']} to change, {counts['warm']} to warm; {_count(stages, 'stage')}{least}."
    )


# words


def duration(seconds: float) -> str:
    """Write *seconds* as people say it: 250 ms, 27.5 s, 1 h 15 min."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < MINUTE_S:
        return f"{seconds:.3g} s"
    hours, rest = divmod(round(seconds), HOUR_S)
    minutes, left = divmod(rest, MINUTE_S)
    parts = ((hours, "h"), (minutes, "min"), (left, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def _count(number: int, noun: str, plural: str | None = None) -> str:
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def _shortened(things: Iterable[str]) -> list[str]:
    """Return the first of *things*, and how many there are more."""
    every = list(things)
    return every if len(every) <= MANY else [*every[:MANY], f"… and {len(every) - MANY} more"]


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
