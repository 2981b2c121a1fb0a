"""What changed in the rest: the way back, copies, the ledger, how providers are asked, the review itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.config.model import Level, OnBreach
from runner.decide.compare.change import Change, apart, short, span, turned
from runner.decide.risk import Risk
from runner.decide.rules import standard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.config.model import Fault, Rollout


def settings(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield what changed in everything that is one value."""
    if old.name != new.name:
        said = f"the rollout is called {new.name} instead of {old.name}"
        yield _change("rollout-renamed", ("name",), said, old.name, new.name)
    yield from _way_back(old, new)
    yield from _copies(old, new)
    yield from _probing(old, new)
    yield from _reviewing(old, new)


def _change(code: str, keys: tuple[str, ...], said: str, before: Any, after: Any) -> Change:
    return Change(code, ".".join(keys), said, None, "", before, after, ("rollout", *keys))


def _way_back(old: Rollout, new: Rollout) -> Iterator[Change]:
    was, now = old.rollback, new.rollback
    if was.on_breach is not now.on_breach:
        more = now.on_breach is OnBreach.DISABLED
        code = "breach-goes-back-more" if more else "breach-goes-back-less"
        ways = ["the start", "the stage before"]
        said = "a breach goes back to {} instead of to {}".format(*ways if more else reversed(ways))
        yield _change(code, ("rollback", "on_breach"), said, str(was.on_breach), str(now.on_breach))
    if code_found := turned("rollback-watches-longer", "rollback-watches-shorter", was.observe_s, now.observe_s):
        values = span(was.observe_s), span(now.observe_s)
        said = f"a gradual rollback watches each stage for {values[1]} instead of {values[0]}"
        yield _change(code_found, ("rollback", "observe"), said, *values)
    for level in Level:
        if was.promise_s(level) != now.promise_s(level):
            values = span(was.promise_s(level)), span(now.promise_s(level))
            said = f"the {level} rollback is promised within {values[1]} instead of {values[0]}"
            yield _change("promise-changed", ("rollback", "within", str(level)), said, *values)


def _copies(old: Rollout, new: Rollout) -> Iterator[Change]:
    was, now = old.snapshots, new.snapshots
    if was.before_run is not now.before_run:
        code, said = "snapshot-dropped", "no snapshot is taken before a run any more"
        if now.before_run:
            code, said = "snapshot-taken", "a snapshot is taken before a run"
        yield _change(code, ("snapshots", "before_run"), said, was.before_run, now.before_run)
    if code_found := turned("more-snapshots-kept", "fewer-snapshots-kept", was.keep, now.keep):
        said = f"{was.keep} -> {now.keep} automatic snapshots are kept"
        yield _change(code_found, ("snapshots", "keep"), said, was.keep, now.keep)
    if was.folder != now.folder:
        folders = was.folder or "beside the database", now.folder or "beside the database"
        said = f"snapshots stand elsewhere: {' -> '.join(apart(*folders))}"
        yield _change("snapshots-moved", ("snapshots", "folder"), said, *folders)
    if code_found := turned("details-kept-longer", "details-kept-shorter", old.keep_details_s, new.keep_details_s):
        values = span(old.keep_details_s), span(new.keep_details_s)
        said = f"the ledger keeps details for {values[1]} instead of {values[0]}"
        yield _change(code_found, ("ledger", "keep_details"), said, *values)


def _probing(old: Rollout, new: Rollout) -> Iterator[Change]:
    was, now = old.probe, new.probe
    if patient := turned("timeout-raised", "timeout-lowered", was.timeout_s, now.timeout_s):
        values = span(was.timeout_s), span(now.timeout_s)
        said = f"every provider is waited for {values[1]} at the most instead of {values[0]}"
        yield _change(patient, ("probe", "timeout"), said, *values)
    if was.concurrency != now.concurrency:
        said = f"up to {now.concurrency} instead of {was.concurrency} requests are under way at once"
        yield _change("probing-changed", ("probe", "concurrency"), said, was.concurrency, now.concurrency)
    if was.record is not now.record:
        code, said = "live-columns-dropped", "active stages do not record any more how the providers do"
        if now.record:
            code, said = "live-columns-kept", "active stages record how the providers do"
        yield _change(code, ("probe", "record_live_columns"), said, was.record, now.record)
    ordered = [sorted(map(_fault, side.faults)) for side in (old, new)]
    if ordered[0] != ordered[1]:
        texts = [", ".join(each) or "nothing" for each in ordered]
        said = f"the stand-in is told to misbehave otherwise: {' -> '.join(apart(*texts))}"
        yield _change("faults-changed", ("stand_in", "faults"), said, *texts)


def _fault(fault: Fault) -> str:
    value = {"fail": f"={fault.status}", "slow": f"={span(fault.delay_s)}"}.get(fault.kind, "")
    return f"{fault.provider}:{fault.kind}{value}" + (f"@{fault.since}" if fault.since else "")


def _reviewing(old: Rollout, new: Rollout) -> Iterator[Change]:
    """Yield which risks the config judges otherwise than before."""
    before, after = ({each.code: each for each in side.reassessed} for side in (old, new))
    for code in sorted({*before, *after}):
        was, now = (Risk(side[code].risk) if code in side else standard(code) for side in (before, after))
        if was is not now:
            raised = "risk-raised" if now.rank > was.rank else "risk-lowered"
            why = f": {short(after[code].reason)}" if code in after else ""
            said = f"{code} is {now} instead of {was}{why}"
            yield _change(raised, ("review", "risks", code), said, str(was), str(now))
            continue
        reasons = [side[code].reason if code in side else "by rule" for side in (before, after)]
        if reasons[0] != reasons[1]:
            said = f"{code} is {now} for another reason: {' -> '.join(apart(*reasons))}"
            yield _change("risk-reason-changed", ("review", "risks", code), said, *reasons)
