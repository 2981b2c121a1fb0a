from pathlib import Path

import pytest

from runner.config.model import (
    CacheEntry,
    Environment,
    Kind,
    Metric,
    Mode,
    OnBreach,
    ProbeSettings,
    Provider,
    Reading,
    RefreshSelector,
    Rollback,
    Rollout,
    Selector,
    Snapshots,
    Stage,
)
from runner.decide.steps import Coming, Open, stage_steps

SPORTS = ("MLB", "NBA")


def provider(name, *, enabled=True, endpoint=None):
    return Provider(name, SPORTS, enabled, "INACTIVE", "high" if enabled else "low", 60, 30, 3, {}, endpoint)


def entry(key, kind, ttl_s):
    return CacheEntry(key, kind, f"CACHE_{kind.upper()}", ttl_s, 0.8, {})


def stage(name, mode, activate=None, refresh=None, probe=None):
    return Stage(name, mode, 600.0, 30.0, 1200.0, (), probe or activate or Selector(enabled=True), activate, refresh)


SOON = RefreshSelector(expiring_within_s=3600)
DARK = stage("dark", Mode.OBSERVE)
SHADOW = stage("shadow", Mode.SHADOW, Selector(enabled=True), SOON)
PARTIAL = stage("partial", Mode.ACTIVE, Selector(priority="high"), SOON)
FULL = stage("full", Mode.ACTIVE, Selector(), RefreshSelector())
STAGES = (DARK, SHADOW, PARTIAL, FULL)
ERRORS = (Metric("errors", Kind.PROBE, Reading.ERRORS),)
EXPIRES = {"p:1": 3600.0, "f:1": 21600.0, "p:never": None}


def rollout(speed=1.0, on_breach=OnBreach.PREVIOUS, metrics=ERRORS):
    return Rollout(
        name="r",
        path=Path("config/rollout.yaml"),
        environment=Environment("local", "sqlite:///rollout.db", "sqlite", speed),
        sports=SPORTS,
        providers=(provider("a", endpoint="https://a"), provider("b"), provider("c", enabled=False)),
        caches=(entry("p:1", "player", 3600), entry("f:1", "factor", 21600), entry("p:never", "player", 3600)),
        lookups=(),
        metrics=metrics,
        stages=STAGES,
        rollback=Rollback(on_breach=on_breach),
        probe=ProbeSettings(),
        faults=(),
        migrations=(),
        criteria=(),
        snapshots=Snapshots(),
        declared={},
        digest="sha256:0",
    )


def coming(expires=EXPIRES):
    return Coming({("a", "MLB")}, dict(expires), float)


def steps(stages=STAGES, passed=(), opened=None, stands=None, **declared):
    return stage_steps(rollout(**declared), stages, passed, stands or coming(), opened)


def test_a_stage_takes_as_long_as_its_ticks_at_the_environments_speed():
    assert [600.0] * 4 == [step["takes_s"] for step in steps()]
    assert [5.0] * 4 == [step["takes_s"] for step in steps(speed=120)]
    assert [(20, 20, 0.25, 600.0)] * 4 == [
        (step["ticks"], step["ticks_left"], step["interval_s"], step["declared_s"]) for step in steps(speed=120)
    ]


@pytest.mark.parametrize(("ticks", "left"), [(0, 20), (19, 1), (20, 0), (33, 0)])
def test_an_open_stage_has_the_ticks_left_that_it_has_not_seen(ticks, left):
    first, second = steps((SHADOW, PARTIAL), ("dark",), Open(ticks, frozenset()))

    assert (True, left, left * 30.0) == (first["goes_on"], first["ticks_left"], first["takes_s"])
    assert (False, 20) == (second["goes_on"], second["ticks_left"])


def test_every_stage_switches_on_what_is_not_on_by_then():
    keys = {step["stage"]: step["switches"] and step["switches"]["keys"] for step in steps()}

    assert {
        "dark": None,
        "shadow": ["a/NBA", "b/MLB", "b/NBA"],
        "partial": ["a/NBA", "b/MLB", "b/NBA"],  # the shadow has left nothing behind
        "full": ["c/MLB", "c/NBA"],
    } == keys


def test_an_open_stage_switches_on_what_still_waits():
    [step] = steps((PARTIAL,), ("dark", "shadow"), Open(3, frozenset({("b", "NBA")})))

    assert (["b/NBA"], 4, 1) == (step["switches"]["keys"], step["switches"]["selected"], step["switches"]["rows"])


@pytest.mark.parametrize(
    ("expires", "due"),
    [
        (EXPIRES, {"shadow": {"player": 1}, "partial": {"player": 1}, "full": {"player": 2, "factor": 1}}),
        ({"f:1": 4199.0}, {"shadow": {"factor": 1}, "partial": {"factor": 1}, "full": {"factor": 1}}),
        ({"f:1": 4801.0}, {"shadow": {}, "partial": {}, "full": {"factor": 1}}),  # later than an hour from then
        ({"f:1": 4700.0}, {"shadow": {}, "partial": {"factor": 1}, "full": {"factor": 1}}),
        ({"p:never": None}, {"shadow": {}, "partial": {}, "full": {"player": 1}}),
        ({}, {"shadow": {}, "partial": {}, "full": {}}),
    ],
)
def test_entries_are_due_when_the_stage_is_entered(expires, due):
    found = steps(stands=coming(expires))

    assert due == {step["stage"]: step["refreshes"]["due"] for step in found if step["refreshes"]}


def test_what_a_stage_refreshed_is_not_due_again_too_soon():
    again = stage("again", Mode.ACTIVE, Selector(), RefreshSelector(expiring_within_s=2000))
    first, second = steps((FULL, again), stands=coming(expires={"p:1": 60.0, "f:1": 60.0}))

    assert ({"player": 1, "factor": 1}, {}) == (first["refreshes"]["due"], second["refreshes"]["due"])


def test_probes_are_counted_and_so_are_those_that_the_stand_in_answers():
    assert [(4, 2, ["a", "b"])] * 3 + [(6, 4, ["a", "b", "c"])] == [
        (step["probes"]["rows"], step["probes"]["stand_in"], step["probes"]["providers"]) for step in steps()
    ]
    assert [None] * 4 == [step["probes"] for step in steps(metrics=())]


@pytest.mark.parametrize(
    ("on_breach", "goes_back"),
    [
        (OnBreach.PREVIOUS, [("disabled", ["dark"]), ("dark", ["shadow"]), ("shadow", ["partial"])]),
        (
            OnBreach.DISABLED,
            [
                ("disabled", ["dark"]),
                ("disabled", ["shadow", "dark"]),
                ("disabled", ["partial", "shadow", "dark"]),
            ],
        ),
    ],
)
def test_a_breach_goes_back_as_far_as_is_declared(on_breach, goes_back):
    found = steps(STAGES[:3], on_breach=on_breach)

    assert goes_back == [(step["rollback"]["to"], step["rollback"]["takes_back"]) for step in found]
