"""What past runs would have come to under another config, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTS = (
    ("would_pass", "that {was} rolled back would have passed there"),
    ("would_roll_back", "that {was} not rolled back would have been"),
    ("elsewhere", "that {was} rolled back would have been at another tick or stage"),
    ("cannot_be_told", "cannot be told"),
    ("same", "would have ended the same"),
)


def summary(found: dict[str, Any]) -> str:
    """Say in one sentence how many of the runs would have ended otherwise."""
    total = found["total"]
    if not total:
        return f"no run of {found['rollout']} has measured anything yet"
    counted = [
        f"{found[name]} {words.format(was='was' if found[name] == 1 else 'were')}"
        for name, words in _COUNTS
        if found[name]
    ]
    runs = "the last run" if total == 1 else f"the last {total} runs"
    return f"of {runs}, {'; '.join(counted)}"


def text(found: dict[str, Any]) -> str:
    """Write the replay for people: the summary first, then each run that would not have ended the same."""
    return "\n".join([f"replay: {summary(found)}", *(line for run in found["runs"] for line in _run(run))])


def _run(run: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of one run; none where nothing is different."""
    if run["outcome"] == "same":
        return
    recorded = f"{_ended(run['recorded'])} then; " if run["recorded"] else ""
    yield f"  {run['run_id']}  {recorded}{_now(run)}"
    for reason in _reasons(run):
        yield f"    {reason}"


def _ended(recorded: dict[str, Any]) -> str:
    at = f"{recorded['stage']} tick {recorded['tick']}"
    return {
        "rolled_back": f"rolled back at {at}",
        "completed": f"completed at {recorded['stage']}",
        "cut_off": f"{recorded['state'].replace('_', ' ')} at {at}",
    }[recorded["ending"]]


def _now(run: dict[str, Any]) -> str:
    found = run["replayed"]
    place = f"{found['stage']} tick {found['tick']}" if found else ""
    match run["outcome"]:
        case "would_pass":
            return "would have passed there"
        case "would_roll_back" | "elsewhere":
            latest = ", at the latest" if found["at_the_latest"] else ""
            return f"would have been rolled back at {place}{latest}"
    return f"where it would have been rolled back, {place} at the latest, cannot be told" if found else "cannot be told"


def _reasons(run: dict[str, Any]) -> Iterator[str]:
    """Yield why it was rolled back, which figures would do it now, and what is not known."""
    if run["recorded"] and run["recorded"]["ending"] == "rolled_back":
        yield f"then because {run['recorded']['because']}"
    for fact in run["replayed"]["because"] if run["replayed"] else ():
        yield f"now because {fact['text']}"
    yield from run["why"]
