"""
One passage through a stage: enter, measure at every tick, leave, or say why not.

Whatever a tick finds is stored, judged and acted on in one transaction; events are told after it. No lock of the
database is held while anything is waited for. A passage that was cut off goes on with the ticks that are left: time in
which no runner was alive does not count as observed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from runner.act import live, switch
from runner.clock import timestamp
from runner.config.model import Kind, Mode, Reading
from runner.decide.drill import Injection
from runner.decide.gate import Effect, Gate, Verdict
from runner.errors import Interrupted, Problem, StepFailed
from runner.measure import lookup, query
from runner.store.changes import Changes, digest
from runner.store.digest import canonical, of_text
from runner.store.ledger import Ledger
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runner.clock import Clock
    from runner.config.model import Rollout, Stage, Target
    from runner.decide.gate import Judgement
    from runner.engine.site import Site
    from runner.events import Teller
    from runner.measure.probe import Prober
    from runner.measure.request import Answer
    from runner.samples import Sample
    from runner.store.backend import Backend, Row
    from runner.store.changes import Change, Claim, Key
    from runner.store.ledger import Run, StageEntry
    from runner.store.lock import Lock

Injections = Mapping[str, Injection]
"""By stage, the breach that a rehearsal orders. Nobody else does."""
NONE: Injections = MappingProxyType({})

MOST_CAUSES = 20
"""So many causes of failed requests are kept with a stage, the most frequent ones."""
PATIENCE_S = 5.0
"""No wait is longer than this without a look at the lease."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every step of a run works with."""

    rollout: Rollout
    backend: Backend
    reader: Backend
    ledger: Ledger
    lock: Lock
    clock: Clock
    prober: Prober | None
    injections: Injections


@contextmanager
def measuring(
    site: Site, stages: Sequence[Stage], make_prober: Callable[[], Prober], injections: Injections = NONE
) -> Iterator[Desk]:
    """Make what going through *stages* needs, the prober where there is anything to probe, and close it afterwards."""
    rollout = site.rollout
    probes = stages and any(metric.kind is Kind.PROBE for metric in rollout.metrics)
    reader = site.backend.reader()
    prober = make_prober() if probes else None
    try:
        yield Desk(rollout, site.backend, reader, site.ledger, site.lock, site.clock, prober, injections)
    finally:
        if prober:
            prober.close()
        reader.close()


def stop_if_asked(clock: Clock) -> None:
    """Raise Interrupted if a signal has come in: where this is called, everything is stored."""
    if clock.stop.signal:
        problem = Problem("stopped by a signal at a safe point", fix="run the same command again: it goes on from here")
        raise Interrupted(clock.stop.signal, problem)


class Breach(Exception):
    """The stage may not go on, and why."""


@dataclass(slots=True)
class Passage:
    """A run in a stage. `open` enters it, or takes it up where it was left; `observe` goes through its ticks."""

    desk: Desk
    run: Run
    stage: Stage
    tell: Teller
    hold: Callable[[list[str]], None]
    targets: tuple[Target, ...] = field(init=False)
    chosen: tuple[Target, ...] = field(init=False)
    entry: StageEntry = field(init=False)
    gate: Gate = field(init=False)
    causes: Counter[str] = field(default_factory=Counter)
    told: dict[tuple[str, str], Verdict] = field(default_factory=dict)
    seen: Mapping[Key, Claim] = field(default_factory=dict)
    waiting: dict[Key, Target] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tell = self.tell.bind(stage=self.stage.name)
        self.targets = tuple(self.desk.rollout.select(self.stage.probe))
        self.chosen = tuple(self.desk.rollout.select(self.stage.activate)) if self.stage.activate else ()
        self.gate = Gate(self.stage.thresholds, (target.provider.name for target in self.targets))

    def open(self, entry: StageEntry | None) -> None:
        """Enter the stage, or go on with *entry*."""
        if entry is None:
            self._enter()
        else:
            self._take_up(entry)
        if self.desk.prober:
            self.desk.prober.enter(self.stage.name)

    def _enter(self) -> None:
        desk, stage = self.desk, self.stage
        now = desk.clock.now()
        by_stand_in = sum(target.provider.endpoint is None for target in self.targets) if desk.prober else 0
        summary: dict[str, Any] = {"targets": len(self.targets), "stand_in": by_stand_in}
        refreshed: list[Change] = []
        shadowed: list[Change] = []
        with desk.lock.transaction():
            self.entry = desk.ledger.enter_stage(
                self.run, stage.name, stage.mode, desk.rollout.position(stage.name), "", summary, now
            )
            changes = Changes(desk.backend, self.entry.id)
            if stage.mode is Mode.SHADOW:
                shadowed = self._shadow(changes, summary)
            elif stage.mode is Mode.ACTIVE:
                self._claim(changes)
                refreshed = self._refresh(changes)
                summary["refreshed"] = len(refreshed)
            self.entry = self.entry._replace(digest=changes.claimed_digest(), summary_json=canonical(summary))
            desk.ledger.update_stage(self.entry.id, digest=self.entry.digest, summary_json=self.entry.summary_json)
        self.tell(
            "stage.entered",
            mode=stage.mode,
            targets=len(self.targets),
            stand_in=by_stand_in,
            ticks=stage.ticks,
            duration_s=stage.duration_s,
        )
        self._tell_shadowed(shadowed, summary)
        if refreshed:
            self.tell("cache.refreshed", rows=len(refreshed), keys=[change.key[0] for change in refreshed])

    def _take_up(self, entry: StageEntry) -> None:
        """Learn again what is stored of a passage that was cut off."""
        self.entry = entry
        self.causes.update(entry.summary.get("causes", {}))
        stored = Ledger(self.desk.reader).samples(entry.id)  # one by one: beside them the lease is renewed
        known = 0
        for tick, group in groupby(stored, key=itemgetter(0)):
            for _ in range(known, tick):
                self.gate.take(())  # a tick that found nothing
            self.gate.take(sample for _, sample in group)
            known = tick + 1
            self.desk.lock.keep()
        for _ in range(known, entry.ticks):
            self.gate.take(())
        if self.stage.mode is Mode.ACTIVE:
            with self.desk.lock.transaction():
                self._claim(Changes(self.desk.backend, entry.id))

    def _claim(self, changes: Changes) -> None:
        """Claim the rows that this stage switches on or keeps true, and learn which still wait to be switched on."""
        recorded = self.targets if self.desk.rollout.probe.record else ()
        claimed = {target.key for target in (*self.chosen, *recorded)}
        self.seen = switch.claim_providers(
            changes,
            [target for target in self.desk.rollout.targets if target.key in claimed],
            with_live_columns=self.desk.rollout.probe.record,
        )
        if missing := ["/".join(target.key) for target in self.chosen if target.key not in self.seen]:
            raise StepFailed(
                Problem(
                    f"provider_states has no row for {missing[0]} (missing: {len(missing)})",
                    fix="run the same command again: it writes the declared rows first",
                )
            )
        self.waiting = {target.key: target for target in self.chosen if not switch.is_settled(self.seen[target.key])}

    def _refresh(self, changes: Changes) -> list[Change]:
        if self.stage.refresh is None:
            return []
        desk = self.desk
        return switch.refresh(changes, desk.backend, desk.rollout.caches, self.stage.refresh, desk.clock.now())

    def _shadow(self, changes: Changes, summary: dict[str, Any]) -> list[Change]:
        """Run the writes of the stage for real, take them back, and make sure that no row is different."""
        desk = self.desk
        before = self._rows_digest()
        with desk.backend.rolled_back():
            seen = switch.claim_providers(changes, self.chosen, with_live_columns=False)
            updated = switch.activate(changes, desk.backend, self.chosen, seen, desk.clock.now())
            refreshed = self._refresh(changes)
        after = self._rows_digest()
        if before != after:
            raise StepFailed(Problem("the shadow writes were rolled back, but rows are different", fix="report this"))
        summary |= {"updates": len(updated), "refreshes": len(refreshed), "before": before, "after": after}
        return updated + refreshed

    def _rows_digest(self) -> str:
        """Return the digest of every row that the stage could write."""
        backend = self.desk.backend
        providers = digest(backend, PROVIDER_STATES, (target.key for target in self.chosen))
        caches = digest(backend, PORTFOLIO_RATIONALES, ((entry.key,) for entry in self.desk.rollout.caches))
        return of_text(providers + caches)

    def _tell_shadowed(self, changes: list[Change], summary: Mapping[str, Any]) -> None:
        if self.stage.mode is not Mode.SHADOW:
            return
        for change in changes:
            self.tell(
                "row.shadowed",
                table=change.table,
                key="/".join(map(str, change.key)),
                before=change.before,
                after=change.after,
            )
        self.tell(
            "shadow.rolled_back",
            **{name: value for name, value in summary.items() if name not in {"targets", "stand_in"}},
        )

    def observe(self) -> None:
        """
        Measure at every tick until the stage may be left. Breach says that it must be given up.

        Ticks keep their schedule, `interval` apart from the start; what answers late is counted at a later tick.
        """
        if self.gate.breaches:
            raise Breach(self._breach_text())
        if self.entry.ticks >= self.stage.ticks and self._may_leave(self.entry.ticks - 1):
            return
        interval = self.stage.interval_s / self.desk.rollout.environment.speed
        start = self.desk.clock.monotonic()
        for number, tick in enumerate(self._ticks()):
            self._wait_until(start + number * interval)
            self._tick(tick, start + (number + 1) * interval)
            if tick + 1 >= self.stage.ticks and self._may_leave(tick):
                self._wait_until(start + (number + 1) * interval)
                break

    def _ticks(self) -> Iterator[int]:
        """Yield the numbers of the ticks that are left, from 0, the extra ones of a stage that holds included."""
        return iter(range(self.entry.ticks, max(self.stage.deadline_ticks, self.entry.ticks + 1)))

    def _wait_until(self, moment: float) -> None:
        clock = self.desk.clock
        while not clock.stop.signal and clock.monotonic() < moment:
            clock.sleep_until(min(moment, clock.monotonic() + PATIENCE_S))
            self.desk.lock.keep()
        stop_if_asked(self.desk.clock)

    def _tick(self, tick: int, until: float) -> None:
        desk = self.desk
        is_last = tick + 1 >= self.stage.ticks
        if desk.prober:
            desk.prober.start(self.targets)
        samples = list(self._measure())
        answers: list[Answer] = []
        if desk.prober:
            answers = self._collect(desk.prober, until + (desk.rollout.probe.timeout_s if is_last else 0))
            samples += self._read(answers)
        stop_if_asked(self.desk.clock)
        if injection := desk.injections.get(self.stage.name):
            samples = injection.spoil(samples, self.targets[0].provider.name if self.targets else "")
        self.gate.take(samples)
        activated, skipped = self._store(tick, samples, answers)
        self._tell_tick(tick, samples, answers, activated, skipped)
        if self.gate.breaches:
            raise Breach(self._breach_text())

    def _collect(self, prober: Prober, until: float) -> list[Answer]:
        """Take the answers that come in until all have, or that moment has come; keeps the lease meanwhile."""
        clock = self.desk.clock
        answers = prober.collect(min(until, clock.monotonic() + PATIENCE_S))
        while prober.under_way and clock.monotonic() < until and not clock.stop.signal:
            self.desk.lock.keep()
            answers += prober.collect(min(until, clock.monotonic() + PATIENCE_S))
        return answers

    def _read(self, answers: list[Answer]) -> list[Sample]:
        from runner.measure.probe import samples  # noqa: PLC0415  HTTP is imported only where probes are declared

        self.causes.update(f"{answer.target.provider.name}: {answer.error}" for answer in answers if answer.error)
        return samples(self.desk.rollout.metrics, answers)

    def _measure(self) -> Iterator[Sample]:
        """Read the metrics that come from the database."""
        desk = self.desk
        for metric in desk.rollout.metrics:
            desk.lock.keep()
            if metric.kind is Kind.LOOKUP:
                yield lookup.replay(desk.reader, metric.name, desk.rollout.lookups, desk.clock.now())
            elif metric.kind is Kind.SQL:
                yield query.ask(desk.reader, metric, desk.clock.now(), desk.clock.monotonic)

    def _store(self, tick: int, samples: list[Sample], answers: list[Answer]) -> tuple[set[Key], set[Key]]:
        """Commit what a tick found, and what follows: return the rows switched on, and those others had switched."""
        desk, now = self.desk, self.desk.clock.now()
        passed: set[Key] = set()
        activated: set[Key] = set()
        with desk.lock.transaction():
            desk.ledger.record_samples(self.entry.id, tick, samples, now)
            desk.ledger.record_verdicts(self.entry.id, map(_verdict_row, self.gate.judgements), now)
            summary = self._summary()
            desk.ledger.update_stage(self.entry.id, ticks=tick + 1, summary_json=summary)
            if self.stage.mode is Mode.ACTIVE:
                changes = Changes(desk.backend, self.entry.id)
                passed = {answer.target.key for answer in answers if answer.ok} & self.waiting.keys()
                ready = [self.waiting[key] for key in sorted(passed)]
                changed = switch.activate(changes, desk.backend, ready, self.seen, now) if ready else []
                activated = {change.key for change in changed}
                if desk.rollout.probe.record and answers:
                    live.record(changes, desk.backend, self.entry.id, answers, now)
        self.entry = self.entry._replace(ticks=tick + 1, summary_json=summary)
        for key in passed:
            del self.waiting[key]
        return activated, passed - activated

    def _summary(self) -> str:
        """Return the summary of the stage with what made requests fail so far: whoever goes on has to know that."""
        if not self.causes:
            return self.entry.summary_json
        return canonical({**self.entry.summary, "causes": dict(self.causes.most_common(MOST_CAUSES))})

    def _tell_tick(
        self, tick: int, samples: list[Sample], answers: list[Answer], activated: set[Key], skipped: set[Key]
    ) -> None:
        for answer in answers:
            if answer.error:
                self.tell(
                    "probe.failed",
                    provider=answer.target.provider.name,
                    sport=answer.target.sport,
                    cause=answer.error,
                    attempts=answer.attempts,
                )
        for provider, sport in sorted(activated):
            self.tell("provider.activated", provider=provider, sport=sport)
        for provider, sport in sorted(skipped):
            self.tell("provider.skipped", provider=provider, sport=sport)
        figures = {
            f"{judgement.threshold.metric}{'.' if judgement.subject else ''}{judgement.subject}": judgement.value
            for judgement in self.gate.judgements
        }
        self._tell_verdicts()
        verdicts = Counter(judgement.verdict for judgement in self.gate.judgements)
        self.tell(
            "tick.recorded",
            tick=tick + 1,
            ticks=self.stage.ticks,
            observations=sum(sample.observations for sample in samples),
            verdicts=dict(verdicts),
            **figures,
        )

    def _tell_verdicts(self) -> None:
        """Tell of every threshold that began to warn, or whose source began to fail, with this tick."""
        for judgement in self.gate.judgements:
            who = (judgement.threshold.metric, judgement.subject)
            changed = self.told.get(who) is not judgement.verdict
            self.told[who] = judgement.verdict
            if changed and judgement.verdict is Verdict.WARN:
                self.tell(
                    "threshold.warned", metric=who[0], subject=who[1], value=judgement.value, warning=str(judgement)
                )
            if changed and judgement.verdict is Verdict.ERROR:
                self.tell("metric.failed", metric=who[0], cause=judgement.error)

    def _may_leave(self, tick: int) -> bool:
        """Say whether every threshold passes and every selected provider is on; Breach if there is no more time."""
        missing = [str(judgement) for judgement in self.gate.missing]
        missing += [f"{'/'.join(key)} is not active: no probe of it has passed" for key in self.waiting]
        effect = self.gate.after(self.stage, tick, waits=bool(self.waiting))
        if effect is Effect.BREACH:
            raise Breach("; ".join(missing))
        if effect is Effect.HOLD:
            self.hold(missing)
        return effect is Effect.GO_ON

    def _breach_text(self) -> str:
        return "; ".join(self._explained(judgement) for judgement in self.gate.breaches)

    def _explained(self, judgement: Judgement) -> str:
        """Say what a threshold found, and for failed requests whose and why."""
        metric = next(metric for metric in self.desk.rollout.metrics if metric.name == judgement.threshold.metric)
        if metric.reading not in {Reading.ERRORS, Reading.ERROR_RATE} or not self.causes:
            return str(judgement)
        causes = ", ".join(f"{cause} ({count} times)" for cause, count in self.causes.most_common(5))
        return f"{judgement}: {causes}"

    def leave(self) -> None:
        """Write that the stage was passed. Wants to be called inside a transaction."""
        summary = self.entry.summary
        if self.stage.mode is Mode.ACTIVE:
            summary["active"] = self.desk.backend.scalar(
                "SELECT count(*) FROM provider_states WHERE status = 'ACTIVE' AND is_enabled"
            )
        self.desk.ledger.update_stage(
            self.entry.id,
            state="passed",
            left_at=timestamp(self.desk.clock.now()),
            summary_json=canonical(summary),
        )


def _verdict_row(judgement: Judgement) -> Row:
    return {
        "metric": judgement.threshold.metric,
        "subject": judgement.subject,
        "verdict": judgement.verdict,
        "value": judgement.value,
        "observations": judgement.count,
        "fails": judgement.fails,
        "consecutive_fails": judgement.consecutive_fails,
    }
