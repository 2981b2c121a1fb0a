"""What past runs would have come to under another config, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHERWISE = {
    "would_pass": "that the old config rolls back would have passed that stage",
    "would_go_on": "that the old config rolls back would not have been there, and nothing is known of what comes after",
    "would_roll_back": "that the old config does not roll back would have been",
    "elsewhere": "that the old config rolls back would have been at another tick or stage",
}
_COUNTS = {**_OTHERWISE, "cannot_be_told": "cannot be told"}


def brief(found: dict[str, Any]) -> str:
    """Say in a few words how many of the runs would have ended otherwise."""
    if not found["total"]:
        return "no past run"
    otherwise = sum(found[name] for name in _OTHERWISE)
    unknown = f", {found['cannot_be_told']} cannot be told" if found["cannot_be_told"] else ""
    past = "past run" if found["total"] == 1 else "past runs"
    return f"{otherwise} of {found['total']} {past} would have ended otherwise{unknown}"


def summary(found: dict[str, Any]) -> str:
    """Say in one sentence how many of the runs would have ended otherwise than under the old config."""
    total, nothing = found["total"], found["measured_nothing"]
    if not total:
        return f"no run of {found['rollout']} has measured anything yet"
    counted = [f"{found[name]} {words}" for name, words in _COUNTS.items() if found[name]]
    if found["same"]:
        counted.append(f"{found['same']} would have ended the same{_as_far(found)}")
    runs = "the last run" if total == 1 else f"the last {total} runs"
    beside = f" ({nothing} more measured nothing)" if nothing else ""
    return f"of {runs}{beside}, {'; '.join(counted)}"


def _as_far(found: dict[str, Any]) -> str:
    """Say that what is the same is known in part only, where it is."""
    is_known = all(_is_over(run) for run in found["runs"] if run["outcome"] == "same")
    return "" if is_known else ", as far as is known"


def _is_over(run: dict[str, Any]) -> bool:
    return run["replayed"] is not None and run["replayed"]["ending"] not in {"goes_on", "passes"}


def text(found: dict[str, Any]) -> str:
    """Write the replay for people: the summary first, then each run that would not have ended the same."""
    return "\n".join([f"replay: {summary(found)}", *(line for run in found["runs"] for line in _run(run))])


def _run(run: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one run; none where nothing is different."""
    if run["outcome"] == "same":
        return
    recorded = f"{_ended(run['recorded'])} then; " if run["recorded"] else ""
    yield f"  {run['run_id']}  {recorded}{_by_old(run)}{_now(run)}"
    for reason in _reasons(run):
        yield f"    {reason}"


def _ended(recorded: dict[str, Any]) -> str:
    at = f"{recorded['stage']} tick {recorded['tick']}"
    return {
        "rolled_back": f"rolled back at {at}",
        "completed": f"completed at {recorded['stage']}",
        "cut_off": f"{recorded['state'].replace('_', ' ')} at {at}",
    }[recorded["ending"]]


def _by_old(run: dict[str, Any]) -> str:
    """Say what the old config would have made of the run, where that is known and is not what was recorded."""
    found, recorded = run["by_old"], run["recorded"]
    if not found or run["outcome"] == "cannot_be_told":
        return ""
    if all(found[name] == recorded[name] for name in ("ending", "stage", "tick")):
        return ""
    return f"by the old config it {_would(found)}; by the new one it "


def _now(run: dict[str, Any]) -> str:
    found = run["replayed"]
    if run["outcome"] != "cannot_be_told":
        return _would(found)
    if not found or found["ending"] != "rolled_back":
        return "cannot be told"
    if run["by_old"] and found["at_the_latest"]:
        return f"where it would have been rolled back, {_place(found)} at the latest, cannot be told"
    return f"{_would(found)}; {'where' if run['by_old'] else 'whether'} by the old config too cannot be told"


def _would(found: dict[str, Any]) -> str:
    match found["ending"]:
        case "rolled_back":
            latest = ", at the latest" if found["at_the_latest"] else ""
            return f"would have been rolled back at {_place(found)}{latest}"
        case "passes":
            return f"would have passed at {_place(found)}; nothing is known of what comes after"
        case "completed":
            return f"would have completed at {found['stage']}"
    known = f"nothing is known after tick {found['tick']} of {found['of_ticks']}"
    return f"would not have been rolled back there; {known}"


def _place(found: dict[str, Any]) -> str:
    now = f" (now {found['called']})" if found["called"] != found["stage"] else ""
    return f"{found['stage']}{now} tick {found['tick']}"


def _reasons(run: dict[str, Any]) -> Iterator[str]:
    """Yield why it was rolled back, which figures would do it now, and what is not known."""
    if run["recorded"] and run["recorded"]["ending"] == "rolled_back":
        yield f"then because {run['recorded']['because']}"
    for fact in run["replayed"]["because"] if run["replayed"] else ():
        yield f"now because {fact['text']}"
    if run["outcome"] != "would_go_on":  # the line above says how far it was recorded
        yield from run["why"]
