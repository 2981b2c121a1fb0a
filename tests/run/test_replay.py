"""Past runs under another config: real runs in real files, by a clock that only the engine moves."""

import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
from ground import FakeClock

from runner.cli.door import make_prober
from runner.config.load import declaration, load
from runner.config.model import Level
from runner.decide.compare import compare
from runner.engine.bygone import renamed_stages
from runner.engine.levels import Levels
from runner.engine.loop import Engine
from runner.engine.replay import replayed
from runner.engine.reviewing import review
from runner.errors import Interrupted, Mismatch, StepFailed
from runner.events import Teller
from runner.report import replay as report
from runner.report.markdown import markdown
from runner.store.connect import open_backend

ROOT = Path(__file__).parents[2]
SCRIPTED = (
    "SELECT s.value FROM script s JOIN (SELECT stage, ticks FROM runner_stages ORDER BY id DESC LIMIT 1) e"
    " ON s.stage = e.stage AND s.tick = e.ticks"
)
"""A number for each stage and tick: the same for every config that measures it."""


def stage(name, ticks=4, **more):
    return {"name": name, "mode": "observe", "duration": f"{30 * ticks}s", "interval": "30s", **more}


def on(name="live", ticks=4, **more):
    """A stage that switches two providers on."""
    return stage(name, ticks, mode="active", activate={"providers": ["stub", "draftkings"]}, **more)


SEEDS = (0, 60)
SQL = {"backlog": {"kind": "sql", "query": SCRIPTED}}
PROBES = {"errors": {"kind": "probe", "reading": "errors"}, "ms": {"kind": "probe", "reading": "response_time"}}
LOOKUP = {"hits_pct": {"kind": "lookup"}}


class Past:
    """A project, its database, and the numbers that its query will find."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("config", "sql"):
            shutil.copytree(ROOT / name, folder / name)
        self.database = folder / "rollout.db"
        self.old = None

    def config(self, stages, thresholds, metrics=None, **more):
        return {
            "version": 1,
            "name": "past",
            "providers": "providers.yaml",
            "caches": "caches.yaml",
            "migrations": "../sql/{engine}",
            "environments": {"local": {"database": f"sqlite:///{self.database}"}},
            "metrics": metrics or SQL,
            "thresholds": thresholds,
            "stages": stages,
            "snapshots": {"before_run": False},
            **more,
        }

    def load(self, config, faults="", environ=None):
        path = self.folder / "config" / "rollout.yaml"
        path.write_text(json.dumps(config))
        return load(path, None, {"RUNNER_STAND_IN_FAULTS": faults, **(environ or {})})

    def script(self, **numbers):
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS script (stage TEXT, tick INTEGER, value)")
            connection.execute("DELETE FROM script")
            rows = [(name, tick, value) for name, values in numbers.items() for tick, value in enumerate(values)]
            connection.executemany("INSERT INTO script VALUES (?, ?, ?)", rows)

    def engine(self, rollout, backend, stop_at=None):
        clock = FakeClock()

        def note(event):
            if event.name == "tick.recorded" and (event.fields["stage"], event.fields["tick"]) == stop_at:
                clock.stop.ask(15)

        return Engine(rollout, backend, clock, Teller(clock.now, note), partial(make_prober, rollout, clock))

    def apply(self, config, faults="", target=None, stop_at=None, environ=None, **how):
        rollout = self.old = self.load(config, faults, environ)
        with closing(open_backend(rollout.environment.database, "sqlite", create=True)) as backend:
            try:
                self.engine(rollout, backend, stop_at).apply(target, **how)
            except Interrupted:
                assert stop_at
        return self.ended()

    def abort(self, config):
        rollout = self.load(config)
        with closing(open_backend(rollout.environment.database, "sqlite")) as backend:
            self.engine(rollout, backend).abort()

    def ended(self):
        """How the last run ended: its state, last stage and tick."""
        [found] = self.rows(
            "SELECT r.state, e.stage, e.ticks FROM runner_runs r JOIN runner_stages e ON e.run_id = r.id"
            " ORDER BY r.number DESC, e.id DESC LIMIT 1"
        )
        return found

    def rows(self, sql, *values):
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def replay(self, config, runs=20, old=None, **how):
        """Compare *config* with the one that was applied last, unless *old* is another."""
        old = self.load(old, **how) if old else self.old or self.load(config, **how)
        return replayed(old, self.load(config, **how), str(self.database), runs)

    def one(self, config, **how):
        [run] = self.replay(config, **how)["runs"]
        return run


@pytest.fixture
def past(tmp_path):
    return Past(tmp_path)


def ending(run):
    found = run["replayed"]
    return run["outcome"], found and (found["stage"], found["tick"]), run["why"]


def changed(config, **thresholds):
    """Return *config* with other keys in its thresholds."""
    new = deepcopy(config)
    for name, keys in thresholds.items():
        new["thresholds"].setdefault(name, {}).update(keys)
    return new


# the same config


ENDINGS = [
    ("passes", {"max": 5}, {"a": [1, 2, 3, 4], "b": [5, 5, 5, 5]}, ("completed", "b", 4)),
    ("fails at once", {"max": 5}, {"a": [1, 2, 9]}, ("rolled_back", "a", 3)),
    ("fails too often", {"max": 5, "failure_limit": 1}, {"a": [9, 1, 9]}, ("rolled_back", "a", 3)),
    (
        "fails too often in a row",
        {"max": 5, "consecutive_failure_limit": 1},
        {"a": [9, 1, 9, 1], "b": [9, 9]},
        ("rolled_back", "b", 2),
    ),
    ("no data to the deadline", {"max": 5}, {"a": [None] * 9}, ("rolled_back", "a", 8)),
    ("no data, and no waiting", {"max": 5, "on_no_data": "rollback"}, {"a": [1, 1, 1, None]}, ("rolled_back", "a", 4)),
    ("no answer, and no waiting", {"max": 5, "on_error": "rollback"}, {"a": [1, 1, 1, "x"]}, ("rolled_back", "a", 4)),
    ("held, and then good", {"max": 5}, {"a": [1, 1, 1, None, "x", 2], "b": [1] * 4}, ("completed", "b", 4)),
    (
        "too few samples for a while",
        {"max": 5, "min_samples": 4, "statistic": "mean"},
        {"a": [1, None, 1, 1, 1], "b": [1] * 4},
        ("completed", "b", 4),
    ),
    (
        "too few samples to the deadline",
        {"max": 5, "min_samples": 4, "statistic": "mean"},
        {"a": [1, None, None, None, 1, None, None, 1]},
        ("rolled_back", "a", 8),
    ),
    ("a percentile", {"max": 5, "statistic": "p50"}, {"a": [1, 9, 9]}, ("rolled_back", "a", 3)),
    ("an infinite number", {"max": 5, "statistic": "max"}, {"a": [1, 9e999]}, ("rolled_back", "a", 8)),
]


@pytest.mark.parametrize(("threshold", "numbers", "ended"), [case[1:] for case in ENDINGS], ids=[e[0] for e in ENDINGS])
def test_a_run_ends_the_same_under_its_own_config(past, threshold, numbers, ended):
    config = past.config([stage("a"), stage("b")], {"backlog": threshold})
    past.script(**numbers)
    assert ended == past.apply(config)

    assert ("same", ended[1:], []) == ending(past.one(config))


@pytest.mark.parametrize(
    ("faults", "threshold", "ended"),
    [
        ("", {}, ("completed", "live", 4)),
        ("stub:fail", {"errors": {"max": 5}}, ("rolled_back", "live", 2)),
        ("stub:slow=200ms", {"ms": {"max": 150, "by": "provider", "min_samples": 5}}, ("rolled_back", "live", 2)),
        ("draftkings:fail", {}, ("rolled_back", "live", 8)),  # none of its rows is ever switched on
    ],
)
def test_a_run_that_probes_ends_the_same_under_its_own_config(past, faults, threshold, ended):
    thresholds = {"errors": {"max": 999}, "ms": {"max": 5000}, **threshold}
    config = past.config([on()], thresholds, PROBES)
    assert ended == past.apply(config, faults)

    assert ("same", ended[1:], []) == ending(past.one(config))


def test_a_run_that_was_cut_off_and_gone_on_with_ends_the_same(past):
    config = past.config([on("a"), on("b")], {"errors": {"max": 9}, "hits_pct": {"min": 70}}, {**PROBES, **LOOKUP})
    past.apply(config, stop_at=("b", 3))

    assert ("same", ("b", 3), []) == ending(past.one(config))
    assert "cut_off" == past.one(config)["recorded"]["ending"]
    assert ("completed", "b", 4) == past.apply(config)
    assert ("same", ("b", 4), []) == ending(past.one(config))


@pytest.mark.parametrize("by", ["abort", "target"])
@pytest.mark.parametrize("tick", [2, 4])
def test_a_run_that_a_person_ended_ends_the_same(past, by, tick):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    past.script(a=[1] * 4, b=[1] * 4)
    past.apply(config, stop_at=("b", tick))
    past.abort(config) if by == "abort" else past.apply(config, target="a")

    run = past.one(config)

    assert ("same", ("b", tick), []) == ending(run)
    assert ("cut_off", "aborted" if by == "abort" else "completed") == (
        run["recorded"]["ending"],
        run["recorded"]["state"],
    )


def test_a_run_that_is_held_ends_the_same_until_it_goes_on(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 1, 1, None, None])
    past.apply(config, stop_at=("a", 5))

    assert ("same", ("a", 5), []) == ending(past.one(config))


def test_a_run_that_waits_for_rows_ends_the_same_until_it_goes_on(past):
    config = past.config([on()], {"errors": {"max": 99}}, {"errors": PROBES["errors"]})
    past.apply(config, "draftkings:fail", stop_at=("live", 5))

    assert ("same", ("live", 5), []) == ending(past.one(config))


def test_a_run_that_was_killed_before_it_could_write_its_breach_ends_the_same(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 4, 7])
    past.apply(config)
    past.rows("UPDATE runner_stages SET breach = NULL, state = 'entered', undone_at = NULL, undone_by = NULL")
    past.rows("UPDATE runner_runs SET state = 'running', message = NULL, back_to = NULL, finished_at = NULL")

    assert ("same", ("a", 3), []) == ending(past.one(config))
    assert ("would_roll_back", ("a", 2), []) == ending(past.one(changed(config, backlog={"max": 3})))


# thresholds that were loosened or tightened


def test_a_looser_limit_lets_a_run_go_on_where_it_was_rolled_back(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 7])
    past.apply(config)

    run = past.one(changed(config, backlog={"max": 7}))

    assert ("would_go_on", ("a", 2), ["nothing breaches a as far as it was recorded, 2 of 4 ticks"]) == ending(run)
    assert "backlog is 7, at most 5 is wanted (last of 1 sample)" == run["recorded"]["because"]


@pytest.mark.parametrize(
    ("numbers", "outcome", "said"),
    [
        ([7], "would_go_on", "would not have been rolled back there; nothing is known after tick 1 of 4"),
        ([1, 1, 1, 7], "would_pass", "would have passed at a tick 4; nothing is known of what comes after"),
    ],
)
def test_no_more_is_claimed_than_was_recorded(past, numbers, outcome, said):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    past.script(a=numbers)
    past.apply(config)

    found = past.replay(changed(config, backlog={"max": 7}))

    assert (outcome, 1) == (found["runs"][0]["outcome"], found[outcome])
    [_, line, _] = report.text(found).splitlines()
    assert f"{found['runs'][0]['run_id']}  rolled back at a tick {len(numbers)} then; {said}" == line.strip()
    assert "nothing is known of what comes after" in report.summary(found) or outcome == "would_pass"


def test_a_looser_limit_that_would_have_failed_too_says_so(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 7])
    past.apply(config)

    assert ("same", ("a", 2), []) == ending(past.one(changed(config, backlog={"max": 6.99})))


def test_a_tighter_limit_names_stage_tick_and_figure(past):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 9}})
    past.script(a=[1, 2, 3, 2], b=[1, 1, 4, 9])
    past.apply(config)

    run = past.one(changed(config, backlog={"max": 3}))

    assert ("would_roll_back", ("b", 3), []) == ending(run)
    [because] = run["replayed"]["because"]
    assert (4.0, 3, "backlog is 4, at most 3 is wanted (last of 1 sample)") == (
        because["value"],
        because["max"],
        because["text"],
    )
    assert not run["replayed"]["at_the_latest"]


def test_a_breach_that_would_have_come_sooner_is_told(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 4, 7])
    past.apply(config)

    assert ("elsewhere", ("a", 2), []) == ending(past.one(changed(config, backlog={"max": 3})))


def test_one_slow_provider_is_found_once_the_limit_is_by_provider(past):
    probe = {"probe": {"providers": ["stub", "draftkings", "fanduel"]}}
    config = past.config([stage("a", **probe)], {"errors": {"max": 9}, "ms": {"max": 150, "min_samples": 4}}, PROBES)
    past.apply(config, "stub:slow=200ms")
    assert ("same", ("a", 4), []) == ending(past.one(config))

    run = past.one(changed(config, ms={"by": "provider"}))

    assert ("would_roll_back", ("a", 1), []) == ending(run)
    assert ["stub"] == [fact["subject"] for fact in run["replayed"]["because"]]


def test_a_metric_that_had_no_limit_was_measured_all_the_same(past):
    config = past.config([stage("a")], {"hits_pct": {"min": 70}}, {**SQL, **LOOKUP})
    past.script(a=[1, 2, 3, 4])
    past.apply(config)

    assert ("would_roll_back", ("a", 3), []) == ending(past.one(changed(config, backlog={"max": 2})))


def varied(choose):
    """Return a threshold made at random."""
    found = {"max": choose([2, 3, 4, 5, 9])} if choose([1, 1, 0]) else {"min": choose([0, 1, 2])}
    found["statistic"] = choose(["last", "last", "sum", "mean", "min", "max", "p50", "p90"])
    found[choose(["failure_limit", "consecutive_failure_limit"])] = choose([0, 0, 1, 2])
    if choose([0, 0, 1]):
        found["on_no_data"] = "rollback"
    if choose([0, 0, 1]):
        found["on_error"] = "rollback"
    if found["statistic"] != "last":
        found["min_samples"] = choose([1, 1, 2, 3])
    return found


def test_what_is_told_is_what_really_running_the_other_config_comes_to(tmp_path):
    told = []
    for seed in range(*SEEDS):
        choose = random.Random(seed).choice  # noqa: S311  numbers, not secrets
        numbers = {
            name: [choose([0, 1, 1, 2, 2, 2, 3, 3, 4, 5, None, "x"][: choose([4, 8, 12])]) for _ in range(20)]
            for name in "ab"
        }
        old, new = (
            [[stage(name, choose([3, 3, 4]), deadline=f"{30 * choose([4, 5, 6])}s") for name in "ab"], varied(choose)]
            for _ in range(2)
        )
        if choose([True, True, False]):
            new[0] = old[0]
        then, now = (Past(tmp_path / f"{seed}{name}") for name in ("then", "now"))
        for side in (then, now):
            side.script(**numbers)
        configs = [then.config(stages, {"backlog": limits}) for stages, limits in (old, new)]
        then.apply(configs[0])
        really = now.apply({**configs[1], "environments": {"local": {"database": f"sqlite:///{now.database}"}}})

        run = then.one(configs[1])

        told.append(run["outcome"])
        claim = run["replayed"]
        if claim and claim.get("at_the_latest"):
            assert really[0] == "rolled_back", seed
            assert really[1:] <= (claim["stage"], claim["tick"]), seed
        elif run["outcome"] in {"would_roll_back", "elsewhere"}:
            assert ("rolled_back", claim["stage"], claim["tick"]) == really, seed
        elif run["outcome"] == "same":
            assert (run["recorded"]["ending"], claim["stage"], claim["tick"]) == really, seed
        elif run["outcome"] == "would_go_on":
            assert really[0] == "completed" or really[1:] > (claim["stage"], claim["tick"]), seed
        elif run["outcome"] == "would_pass":
            assert really[0] == "completed" or really[1] > claim["stage"], seed
        then_same = then.one(configs[0])
        assert ("same", []) == (then_same["outcome"], then_same["why"]), (seed, then_same)
    counts = {name: told.count(name) for name in sorted(set(told))}
    expected = {"cannot_be_told", "elsewhere", "same", "would_go_on", "would_pass", "would_roll_back"}
    assert expected == set(counts), counts
    assert counts["cannot_be_told"] < 20, counts


# what cannot be told


def edited(config, change):
    new = deepcopy(config)
    change(new)
    return new


def set_stage(**keys):
    return lambda config: config["stages"][0].update(keys)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda config: config["stages"].insert(1, stage("c")),
            ["the stage c is new, and nothing was measured in it"],
        ),
        (
            lambda config: config["stages"].append(stage("c")),
            ["the stage c is new, and nothing was measured in it"],
        ),
        (
            lambda config: config["stages"].pop(),
            ["it ended in b, which is no longer declared"],
        ),
        (lambda config: config["stages"].reverse(), ["the stages are declared in another order now"]),
        (
            set_stage(duration="180s"),
            ["nothing breaches a as far as it was recorded, 4 of 6 ticks"],
        ),
        (set_stage(interval="60s"), ["a was measured every 30 s, and wants to be every 60 s"]),
        (
            lambda config: config["stages"][1].update(mode="shadow", refresh="all"),
            ["b was of mode observe, and is shadow now", "b refreshed other cache entries than it would now"],
        ),
        (
            lambda config: (
                config["metrics"].update(jobs={"kind": "sql", "query": "SELECT 1"}),
                config["thresholds"].update(jobs={"max": 1}),
            ),
            ["the metric jobs is new, and was not measured"],
        ),
        (
            lambda config: config["metrics"]["backlog"].update(query="SELECT 1"),
            ["the metric backlog is measured in another way now"],
        ),
        (
            lambda config: (
                config["thresholds"]["backlog"].update(statistic="sum", min_samples=3, max=99)
                or config["stages"][0].update(thresholds={"backlog": {"statistic": "mean", "min_samples": 4}})
            ),
            [
                (
                    "a is still held as far as it was recorded, 4 of 8 ticks to its deadline: backlog is 1, at most 99"
                    " is wanted (mean of 3 samples, 4 are wanted)"
                )
            ],
        ),
    ],
)
def test_what_was_not_measured_cannot_be_told(past, change, why):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    past.script(a=[1, None, 1, 1], b=[1] * 4)
    past.apply(config)

    assert ("cannot_be_told", None, why) == ending(past.one(edited(config, change)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            set_stage(probe={"providers": ["stub", "fanduel"]}),
            "errors: other providers are asked now (draftkings/MLB, draftkings/NBA, draftkings/NFL, …)",
        ),
        (lambda config: config.update(probe={"timeout": "1s"}), "errors: providers are asked in another way now"),
        (
            lambda config: config.update(stand_in={"faults": [{"provider": "stub", "kind": "hang"}]}),
            "errors: providers are asked in another way now",
        ),
        (set_stage(duration="60s", thresholds={"errors": {"max": 3}}), None),
    ],
)
def test_answers_of_others_or_to_other_questions_tell_nothing(past, change, why):
    probe = {"probe": {"providers": ["stub", "draftkings"]}}
    config = past.config([stage("a", **probe)], {"errors": {"max": 5}}, {"errors": PROBES["errors"]})
    past.apply(config)

    run = past.one(edited(config, change))

    assert (("cannot_be_told", None, [why]) if why else ("same", ("a", 2), [])) == ending(run)


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("providers.yaml", "retries: 1", "retries: 2", "errors: stub is asked in another way now"),
        ("caches.yaml", "ttl: 3h", "ttl: 2h", "hits_pct: other cache entries or look-ups are declared now"),
    ],
)
def test_other_files_count_too(past, file, old, new, why):
    path = past.folder / "config" / file
    config = past.config([stage("a")], {"errors": {"max": 5}, "hits_pct": {"min": 70}}, {**PROBES, **LOOKUP})
    past.apply(config)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))

    assert ("cannot_be_told", None, [why]) == ending(past.one(config))


def test_a_breach_by_what_was_measured_counts_though_something_else_was_not(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 2, 3, 4])
    past.apply(config)
    new = changed(config, backlog={"max": 2}, jobs={"max": 1})
    new["metrics"] = {**SQL, "jobs": {"kind": "sql", "query": "SELECT 1"}}

    run = past.one(new)

    assert ("would_roll_back", ("a", 3), ["the metric jobs is new, and was not measured"]) == ending(run)
    assert run["replayed"]["at_the_latest"]


def test_a_variable_whose_value_is_not_stored_makes_a_run_tell_nothing(past):
    config = past.config([stage("a")], {"backlog": {"max": "${MOST}"}})
    path = past.folder / "config" / "rollout.yaml"
    past.script(a=[1] * 4)
    config["thresholds"] = None

    def load_with(most):
        lines = "\n".join(f"{key}: {json.dumps(value)}" for key, value in config.items())
        path.write_text(lines.replace("thresholds: null", "thresholds:\n  backlog:\n    max: ${MOST}"))
        return load(path, None, {"MOST": most})

    with closing(open_backend(f"sqlite:///{past.database}", "sqlite")) as backend:
        past.engine(load_with("5"), backend).apply()

    [run] = replayed(load_with("5"), load_with("6"), str(past.database))["runs"]

    why = "the config that it went by holds ${MOST}, and what that stood for is not recorded"
    assert ("cannot_be_told", None, [why]) == ending(run)


def test_a_run_that_was_gone_on_with_under_another_config_tells_nothing(past):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    past.script(a=[1, 1, 4, 1], b=[1] * 4)
    past.apply(config, stop_at=("b", 1))
    other = changed(config, backlog={"max": 3})
    assert ("completed", "b", 4) == past.apply(other, accept_changes=True)

    run = past.one(other, old=config)

    why = "the numbers recorded in a do not lead to how it ended: under its own config it is rolled back at tick 3 of 4"
    assert ("cannot_be_told", None, [why]) == ending(run)


@pytest.mark.parametrize(
    ("gone", "tick"),
    [("1 = 1", 1), ("tick < 2", 1), ("tick = 2", 3), ("number = (SELECT min(number) FROM runner_samples)", 1)],
)
def test_samples_that_are_not_kept_any_more_tell_nothing(past, gone, tick):
    config = past.config([stage("a")], {"backlog": {"max": 5}, "hits_pct": {"min": 70}}, {**SQL, **LOOKUP})
    past.script(a=[1] * 4)
    past.apply(config)
    past.rows(f"DELETE FROM runner_samples WHERE {gone}")

    why = [f"the samples of a at tick {tick} are not kept any more"]
    assert ("cannot_be_told", None, why) == ending(past.one(changed(config, backlog={"max": 4})))
    assert ("same", None, why) == ending(past.one(config))


@pytest.mark.parametrize("gone", ["1 = 1", "tick < 2", "metric = 'ms' AND tick = 1", "subject = 'stub' AND tick = 1"])
@pytest.mark.parametrize("statistic", ["sum", "last"])
def test_answers_that_are_not_kept_any_more_tell_nothing(past, gone, statistic):
    probe = {"probe": {"providers": ["stub", "draftkings"]}}
    config = past.config([stage("a", **probe)], {"errors": {"max": 5, "statistic": statistic}}, PROBES)
    past.apply(config)
    assert "same" == past.one(config)["outcome"]
    past.rows(f"DELETE FROM runner_samples WHERE {gone}")

    run = past.one(changed(config, errors={"max": 4}))

    assert ("cannot_be_told", None) == (run["outcome"], run["replayed"])
    assert "not kept any more" in run["why"][0]


def test_answers_of_somebody_whom_nobody_asked_tell_nothing(past):
    probe = {"probe": {"providers": ["stub", "draftkings"]}}
    config = past.config([stage("a", **probe)], {"errors": {"max": 5}}, PROBES)
    past.apply(config)
    past.rows("UPDATE runner_samples SET subject = 'fanduel' WHERE subject = 'stub' AND tick = 1")

    why = "a has samples that the config it went by last does not ask for"
    assert ("cannot_be_told", None, [why]) == ending(past.one(changed(config, errors={"max": 4})))


def test_rows_that_waited_to_be_switched_on_are_not_guessed_at(past):
    config = past.config([on(ticks=4)], {"errors": {"max": 99}}, {"errors": PROBES["errors"]})
    assert ("rolled_back", "live", 8) == past.apply(config, "draftkings:fail")
    shorter = edited(config, set_stage(duration="60s", deadline="300s"))

    why = ["whether live had switched every row on by tick 2 is not recorded"]
    assert ("cannot_be_told", None, why) == ending(past.one(shorter))


def test_answers_that_came_late_are_counted_where_they_came(project):
    slow = {"RUNNER_STAND_IN_FAULTS": "draftkings:slow=1500ms"}
    project.edit("config/rollout.yaml", "max: 1000", "max: 3000")
    assert 0 == project.run("apply", "--target-stage", "dark_mode", **slow).exit_code
    path = project.folder / "config" / "rollout.yaml"
    old = load(path, None, {})

    def outcome():
        [run] = replayed(old, load(path, None, {}), str(project.database))["runs"]
        return run["outcome"], run["why"]

    assert ("same", []) == outcome()
    project.edit("config/rollout.yaml", "duration: 10m", "duration: 5m")
    why = "dark_mode ends at another tick now, and whether answers were late there is not recorded"
    assert ("cannot_be_told", [why]) == outcome()


# several runs


def test_runs_of_the_bundled_rollout_end_the_same_under_it(finished):
    project, _ = finished
    path = project.folder / "config" / "rollout.yaml"

    rollout = load(path, None, {})

    [run] = replayed(rollout, rollout, str(project.database))["runs"]

    assert ("same", ("full_active", 20), []) == ending(run)
    assert ["passes"] * 4 == [passage["result"] for passage in run["stages"]]


def test_every_run_is_told_newest_first_and_counted(past):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    for a, b in (([1] * 4, [1] * 4), ([1, 7], []), ([1] * 4, [2, 6]), ([1, 9], []), ([4] * 4, [1] * 4)):
        past.script(a=a, b=b)
        past.apply(config)
        past.apply(config, target="disabled")
    new = changed(config, backlog={"max": 7})
    new["stages"][1]["thresholds"] = {"backlog": {"max": 1}}

    found = past.replay(new)

    assert ["same", "same", "elsewhere", "would_go_on", "same"] == [run["outcome"] for run in found["runs"]]
    assert (5, 3, 0, 1, 0, 1, 0) == tuple(
        found[name]
        for name in ("total", "same", "would_pass", "would_go_on", "would_roll_back", "elsewhere", "cannot_be_told")
    )
    assert "2 of 5 past runs would have ended otherwise" == report.brief(found)
    assert (
        "of the last 5 runs (3 more measured nothing), 1 that the old config rolls back would not have been there, and"
        " nothing is known of what comes after; 1 that the old config rolls back would have been at another tick or"
        " stage; 3 would have ended the same"
    ) == report.summary(found)
    ids = [run["run_id"] for run in found["runs"]]
    no_more = "would not have been rolled back there; nothing is known after tick 2 of 4"
    assert [
        f"replay: {report.summary(found)}",
        f"  {ids[2]}  rolled back at b tick 2 then; would have been rolled back at b tick 1",
        "    then because backlog is 6, at most 5 is wanted (last of 1 sample)",
        "    now because backlog is 2, at most 1 is wanted (last of 1 sample)",
        f"  {ids[3]}  rolled back at a tick 2 then; {no_more}",
        "    then because backlog is 7, at most 5 is wanted (last of 1 sample)",
    ] == report.text(found).splitlines()
    assert ids[:2] == [run["run_id"] for run in past.replay(new, runs=2)["runs"]]
    assert 1 == past.replay(new, runs=2)["measured_nothing"], "those that are as new"
    json.dumps(found)


def test_a_rollback_on_order_is_no_run_that_is_told_of(past):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}}, rollback={"observe": "60s"})
    past.script(a=[1] * 4, b=[1] * 4)
    past.apply(config)
    rollout = past.load(config)
    with closing(open_backend(rollout.environment.database, "sqlite")) as backend:
        clock = FakeClock()
        make = partial(make_prober, rollout, clock)
        Levels(rollout, backend, clock, Teller(clock.now), make, lambda _: None).roll_back(Level.GRADUAL)
    assert [("gradual", 2)] == past.rows(
        "SELECT r.level, e.ticks FROM runner_runs r JOIN runner_stages e ON e.run_id = r.id WHERE r.level IS NOT NULL"
    )

    assert ("same", ("b", 4), []) == ending(past.one(config))


# what the change causes, and what it does not


@pytest.mark.parametrize("limit", [3, 5, 9])
def test_two_configs_that_are_the_same_make_no_difference_whatever_a_run_went_by(past, limit):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    for numbers in ([1, 4, 1, 1], [1, 7], [1, 1, 1, 6]):
        past.script(a=numbers, b=[1] * 4)
        past.apply(config)
        past.apply(config, target="disabled")
    other = changed(config, backlog={"max": limit})

    found = past.replay(other, old=other)

    assert (3, 3) == (found["total"], found["same"])
    assert "0 of 3 past runs would have ended otherwise" == report.brief(found)
    assert ["rolled_back", "rolled_back", "completed"] == [run["recorded"]["ending"] for run in found["runs"]]
    assert 1 == len(report.text(found).splitlines())
    assert (limit == 9) == ("as far as is known" in report.summary(found))


@pytest.mark.parametrize(
    ("old", "new", "ended"),
    [
        (3, 2, ("same", ("rolled_back", 2), ("rolled_back", 2))),
        (3, 6, ("would_pass", ("rolled_back", 2), ("completed", 4))),
        (6, 3, ("would_roll_back", ("completed", 4), ("rolled_back", 2))),
        (6, 9, ("same", ("completed", 4), ("completed", 4))),
        (4, 3, ("elsewhere", ("rolled_back", 3), ("rolled_back", 2))),
    ],
)
def test_a_run_of_a_third_config_is_judged_by_both(past, old, new, ended):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 4, 5, 1])
    past.apply(config)

    run = past.one(changed(config, backlog={"max": new}), old=changed(config, backlog={"max": old}))

    both = [(run[side]["ending"], run[side]["tick"]) for side in ("by_old", "replayed")]
    assert ended == (run["outcome"], *both)
    assert "completed" == run["recorded"]["ending"]


def test_what_the_old_config_comes_to_is_told_where_it_is_not_what_was_recorded(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 4, 5, 1])
    past.apply(config)

    found = past.replay(changed(config, backlog={"max": 3}), old=changed(config, backlog={"max": 4}))

    assert (
        f"  {found['runs'][0]['run_id']}  completed at a then; by the old config it would have been rolled back at a"
        " tick 3; by the new one it would have been rolled back at a tick 2"
    ) == report.text(found).splitlines()[1]


def test_what_neither_config_can_tell_is_no_difference_where_nothing_on_the_way_changed(past):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    past.script(a=[1, 7])
    past.apply(config)
    old = {**changed(config, jobs={"max": 1}), "metrics": {**SQL, "jobs": {"kind": "sql", "query": "SELECT 1"}}}
    new = edited(old, lambda each: each["stages"][1].update(thresholds={"backlog": {"max": 1}}))

    assert "same" == past.one(new, old=old)["outcome"]
    assert "cannot_be_told" == past.one(changed(old, backlog={"max": 8}), old=old)["outcome"]


# stages that are called otherwise


def rename(number, name):
    return lambda config: config["stages"][number].update(name=name)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("was_renamed_before", [True, False])
def test_a_stage_that_was_renamed_was_measured_under_its_old_name(past, number, was_renamed_before):
    config = past.config([stage("a"), stage("b")], {"backlog": {"max": 5}})
    past.script(a=[1, 1, 4, 1], b=[1, 1, 4, 1])
    past.apply(config)
    new = edited(config, rename(number, "c"))
    old = edited(config, rename(number, "d")) if was_renamed_before else config

    assert ("same", ("b", 4), []) == ending(past.one(new, old=old))

    found = past.replay(
        edited(new, lambda each: each["stages"][number].update(thresholds={"backlog": {"max": 3}})), old=old
    )

    name = "ab"[number]
    assert ("would_roll_back", (name, 3), []) == ending(found["runs"][0])
    assert f"would have been rolled back at {name} (now c) tick 3" in report.text(found)


@pytest.mark.parametrize(
    "names", [("a", "b"), ("a", "c"), ("c", "b"), ("c", "d"), ("b", "a"), ("a", "b", "c"), ("c", "a", "b"), ("a",)]
)
def test_the_stages_that_the_diff_calls_renamed_are_those_of_the_replay(past, names):
    old = past.load(past.config([stage("a"), stage("b", 5)], {"backlog": {"max": 5}}))
    for ticks in (4, 6):
        new = past.load(past.config([stage(name, ticks) for name in names], {"backlog": {"max": 5}}))
        told = {
            name: now
            for change in compare(old, new)
            if change.code == "stage-renamed"
            for name, now in [(change.after, change.before)]
        }
        assert told == renamed_stages(old, new)


# how the review shows it


def test_a_review_that_finds_nothing_dangerous_says_at_once_what_the_replay_found(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 4, 1, 1])
    past.apply(config)
    path = past.folder / "config" / "rollout.yaml"
    new = past.folder / "config" / "new.yaml"
    path.write_text(json.dumps(config))
    new.write_text(json.dumps(changed(config, backlog={"max": 3})))

    def diff(*names, form="text"):
        words = ["diff", *map(str, names), "--replay", str(past.database), "--format", form]
        done = subprocess.run(
            [sys.executable, "-m", "runner", *words], cwd=past.folder, capture_output=True, text=True, check=False
        )
        assert (0, "") == (done.returncode, done.stderr)
        return done.stdout

    brief = "1 of 1 past run would have ended otherwise"
    lines = diff(path, new).splitlines()
    assert f"{path} -> {new}: 1 safe; replay: {brief}" == lines[0]
    page = diff(path, new, form="markdown")
    places = [page.index(each) for each in (f"Replay: **{brief}**", "Would past runs", "### The changes", "| change |")]
    assert places == sorted(places)
    same = diff(path, path).splitlines()
    assert (
        f"{path} -> {path}: no change: both declare the same; replay: 0 of 1 past run would have ended otherwise"
    ) == same[0]


def test_very_many_past_runs_leave_room_for_the_changes(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 4, 1, 1])
    past.apply(config)
    path = past.folder / "config" / "rollout.yaml"
    old = declaration(path)
    past.load(changed(config, backlog={"max": 3}))
    new = declaration(path)
    found = review(old, new, ("old", "new"))
    replay = replayed(old.rollout, new.rollout, str(past.database))
    found["replay"] = {**replay, "runs": replay["runs"] * 1000}

    page = markdown(found)

    assert 10_000 < page.index("| change |") < 20_000
    assert "past runs (" in page.splitlines()[-1]
    assert "backlog" in page.partition("| change |")[2]


# the database


def test_the_database_is_only_read_and_no_file_is_made(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1] * 4)
    past.apply(config)
    new = past.load(config)

    def there():
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in past.folder.glob("rollout*")}

    before = there()

    replayed(new, new, str(past.database))
    replayed(new, new, f"sqlite:///{past.database}")

    assert before == there()


@pytest.mark.parametrize(
    ("make", "error", "what"),
    [
        (lambda _: None, StepFailed, "there is no database sqlite:///{path}"),
        (lambda path: path.write_bytes(b""), StepFailed, "there is no database sqlite:///{path}"),
        (lambda path: path.write_bytes(b"no database" * 99), StepFailed, "SQLite: file is not a database"),
        (
            lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close(),
            StepFailed,
            "there is no ledger in sqlite:///{path}: no rollout was ever applied to it",
        ),
    ],
)
def test_where_there_is_no_ledger_that_is_said(past, make, error, what):
    rollout = past.load(past.config([stage("a")], {"backlog": {"max": 5}}))
    make(past.database)
    files = sorted(past.folder.iterdir())

    with pytest.raises(error) as caught:
        replayed(rollout, rollout, str(past.database))

    assert what.format(path=past.database) == caught.value.problems[0].what
    assert files == sorted(past.folder.iterdir())


def test_the_ledger_of_another_rollout_says_whose_it_is(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1] * 4)
    past.apply(config)

    with pytest.raises(Mismatch) as caught:
        past.replay({**config, "name": "other"})

    what = f"the ledger in sqlite:///{past.database} has no run of other; it has runs of past"
    assert what == caught.value.problems[0].what


def test_a_url_that_names_no_database_is_refused(past):
    rollout = past.load(past.config([stage("a")], {"backlog": {"max": 5}}))

    with pytest.raises(StepFailed, match="has the scheme mysql"):
        replayed(rollout, rollout, "mysql://root:secret@host/x")


def test_a_ledger_that_no_run_measured_anything_for_has_nothing_to_tell(past):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    rollout = past.load(config)
    with closing(open_backend(f"sqlite:///{past.database}", "sqlite", create=True)) as backend:
        past.engine(rollout, backend).apply("disabled")

    found = past.replay(config)

    assert (0, []) == (found["total"], found["runs"])
    assert "no run of past has measured anything yet" == report.summary(found)


@pytest.mark.parametrize("form", ["1", "3"])
def test_a_ledger_of_another_form(past, form):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1] * 4)
    past.apply(config)
    past.rows("UPDATE runner_meta SET value = ? WHERE name = 'ledger_version'", form)
    if form == "1":
        past.rows("ALTER TABLE runner_runs DROP COLUMN level")
        assert "same" == past.one(config)["outcome"]
        return
    with pytest.raises(Mismatch, match="form 3"):
        past.replay(config)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE runner_samples SET values_json = 'x' WHERE tick = 1",
        "UPDATE runner_samples SET values_json = '\"12\"' WHERE tick = 1",
        "UPDATE runner_samples SET values_json = '[\"12\"]' WHERE tick = 1",
        "UPDATE runner_samples SET values_json = '[true]' WHERE tick = 1",
        "UPDATE runner_samples SET values_json = '[1],[2]' WHERE tick = 1",
        "UPDATE runner_samples SET values_json = '[1' || replace(printf('%.400c', '0'), ' ', '0') || ']'",
        "UPDATE runner_samples SET values_json = '[1' || replace(printf('%.5000c', '0'), ' ', '0') || ']'",
        "UPDATE runner_samples SET values_json = replace(printf('%.100000c', '['), ' ', '[') WHERE tick = 1",
        "UPDATE runner_samples SET values_json = x'00ff' WHERE tick = 1",
        "UPDATE runner_samples SET observations = 'many' WHERE tick = 1",
        "UPDATE runner_samples SET observations = -1 WHERE tick = 1",
        "UPDATE runner_samples SET metric = x'00' WHERE tick = 1",
        "UPDATE runner_samples SET metric = 'other' WHERE tick = 1",
        "UPDATE runner_samples SET subject = 'nobody' WHERE tick = 1",
        "UPDATE runner_samples SET error = x'00' WHERE tick = 1",
        "UPDATE runner_samples SET tick = 9999999999 WHERE tick = 1",
        "UPDATE runner_samples SET tick = -1 WHERE tick = 1",
        "UPDATE runner_samples SET tick = 'one' WHERE tick = 1",
        "UPDATE runner_samples SET tick = 2 WHERE tick = 1",
        "UPDATE runner_stages SET ticks = 'many'",
        "UPDATE runner_stages SET ticks = 999999999999",
        "UPDATE runner_stages SET ticks = 3",
        "UPDATE runner_stages SET stage = x'00'",
        "UPDATE runner_stages SET stage = 'b'",
        "UPDATE runner_stages SET breach = 'made up'",
        "UPDATE runner_stages SET left_at = NULL",
        "UPDATE runner_verdicts SET value = 3",
        "UPDATE runner_verdicts SET verdict = x'00'",
        "DELETE FROM runner_verdicts",
        "UPDATE runner_runs SET state = 'rolled_back'",
        "UPDATE runner_runs SET id = x'00', config_digest = 'x'",
        "DELETE FROM runner_configs",
        "UPDATE runner_configs SET config_json = '[]'",
        "UPDATE runner_configs SET config_json = 'x'",
        "UPDATE runner_configs SET config_json = x'00'",
        "UPDATE runner_configs SET config_json = replace(printf('%.100000c', '['), ' ', '[')",
        'UPDATE runner_configs SET config_json = \'{"rollout": {}, "providers": 3}\'',
        "UPDATE runner_configs SET config_json = replace(config_json, '\"30s\"', '\"0s\"')",
        'UPDATE runner_configs SET config_json = replace(config_json, \'"max":5\', \'"max":"5"\')',
        "UPDATE runner_configs SET config_json = replace(config_json, '\"enabled\"', '\"able\"')",
    ],
)
def test_a_ledger_that_no_runner_wrote_tells_nothing_and_breaks_nothing(past, sql):
    config = past.config([stage("a")], {"backlog": {"max": 5}})
    past.script(a=[1, 2, 1, 1])
    past.apply(config)
    past.rows("PRAGMA foreign_keys=OFF")
    with closing(sqlite3.connect(past.database)) as connection, connection:
        connection.execute(sql)

    found = past.replay(changed(config, backlog={"max": 4}))
    unchanged = past.replay(config)

    assert ["cannot_be_told"] == [run["outcome"] for run in found["runs"]] or sql.endswith("x'00', config_digest = 'x'")
    assert all(run["outcome"] == "same" for run in unchanged["runs"])
    for each in (found, unchanged):
        json.dumps(each)
        report.text(each)
