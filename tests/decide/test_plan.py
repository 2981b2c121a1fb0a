from pathlib import Path

import pytest

from runner.config.model import (
    Environment,
    Migration,
    Mode,
    ProbeSettings,
    Rollback,
    Rollout,
    Selector,
    Snapshots,
    Stage,
)
from runner.decide.plan import Applied, Route, pending, route
from runner.errors import Mismatch


def declared(*versions, checksum="sha256:a"):
    return [
        Migration(version, "make", Path(f"sql/sqlite/{version}_make.sql"), checksum, (), (), ()) for version in versions
    ]


def applied(*versions, checksum="sha256:a", state="done"):
    at = "2026-08-02T14:10:00.000Z"
    return {version: Applied(version, "make", checksum, at, state) for version in versions}


@pytest.mark.parametrize(
    ("files", "history", "todo"),
    [
        ([], {}, []),
        (["0001", "0002"], {}, ["0001", "0002"]),
        (["0001", "0002"], applied("0001"), ["0002"]),
        (["0001", "0002"], applied("0001", "0002"), []),
        (["0009", "0010"], applied("0009"), ["0010"]),
        (["9", "10"], applied("9"), ["10"]),  # numbers, not text
        (["0001"], applied("0001", state="begun"), ["0001"]),  # begun outside of a transaction, never finished
        (["0001", "0002"], applied("0001", state="begun"), ["0001", "0002"]),
        (["0001", "0002"], {**applied("0001", state="begun"), **applied("0002")}, ["0001"]),
        (["0001"], applied("0001", state="reverted"), ["0001"]),
        (["0001"], applied("0001", state="reverted", checksum="sha256:b"), ["0001"]),  # it may be edited
        (["0001", "0002"], applied("0002", state="reverted"), ["0001", "0002"]),  # and be preceded by a new one
        ([], applied("0001", state="reverted"), []),  # and go away
    ],
)
def test_what_is_declared_and_not_done_is_pending_oldest_first(files, history, todo):
    assert todo == [migration.version for migration in pending(declared(*files), history)]


def problems(files, history):
    with pytest.raises(Mismatch) as caught:
        pending(files, history)
    assert 7 == caught.value.exit_code
    return [str(problem) for problem in caught.value.problems]


def test_a_migration_that_was_edited_after_it_was_applied_is_refused():
    [problem] = problems(declared("0001", checksum="sha256:b"), applied("0001"))

    assert problem == (
        "error: migration 0001_make was changed after it was applied on 2026-08-02 14:10 UTC\n"
        "  at sql/sqlite/0001_make.sql\n"
        "  fix: restore the file, and put the change in a new migration"
    )


def test_a_migration_that_was_begun_and_never_done_may_be_corrected():
    [todo] = pending(declared("0001", checksum="sha256:b"), applied("0001", state="begun"))

    assert "sha256:b" == todo.checksum


def test_an_applied_migration_whose_file_is_gone_is_refused():
    [problem] = problems(declared("0002"), applied("0001", "0002"))

    assert problem == (
        "error: migration 0001_make was applied on 2026-08-02 14:10 UTC and its file is gone\n"
        "  fix: bring the file back; to undo a migration, write a new one that does"
    )


def test_a_migration_that_comes_late_is_refused():
    [problem] = problems(declared("0001", "0002", "0003"), applied("0001", "0003"))

    assert problem == (
        "error: migration 0002_make is new, but 0003 after it is applied already\n"
        "  at sql/sqlite/0002_make.sql\n"
        "  fix: give it a number above 0003"
    )


def test_everything_that_does_not_match_is_told_at_once():
    files = [*declared("0002", checksum="sha256:b"), *declared("0003", "0005")]

    found = problems(files, applied("0001", "0002", "0004"))

    assert ["0001", "0004", "0002", "0003"] == [text.split("_")[0].split()[-1] for text in found]


def stage(name):
    return Stage(name, Mode.OBSERVE, 600, 30, 600, (), Selector())


STAGES = tuple(stage(name) for name in ("dark", "shadow", "partial", "full"))
ROLLOUT = Rollout(
    name="r",
    path=Path("config/rollout.yaml"),
    environment=Environment("local", "sqlite:///rollout.db", "sqlite"),
    sports=(),
    providers=(),
    caches=(),
    lookups=(),
    metrics=(),
    stages=STAGES,
    rollback=Rollback(),
    probe=ProbeSettings(),
    faults=(),
    migrations=(),
    criteria=(),
    snapshots=Snapshots(),
    declared={},
    digest="sha256:0",
)


@pytest.mark.parametrize(
    ("passed", "target", "expected"),
    [
        ((), "full", Route(forward=STAGES)),
        ((), "dark", Route(forward=STAGES[:1])),
        (("dark",), "partial", Route(forward=STAGES[1:3])),
        (("dark", "shadow", "partial", "full"), "full", Route()),
        ((), "disabled", Route()),
        (("dark", "shadow", "partial", "full"), "partial", Route(back_to="partial")),
        (("dark", "shadow", "partial", "full"), "disabled", Route(back_to="disabled")),
        (("dark",), "disabled", Route(back_to="disabled")),
    ],
)
def test_the_route_leads_forward_back_or_nowhere(passed, target, expected):
    assert expected == route(ROLLOUT, passed, target)


@pytest.mark.parametrize(
    ("way", "is_one"), [(Route(), False), (Route(forward=STAGES), True), (Route(back_to="disabled"), True)]
)
def test_a_route_to_where_one_stands_is_none(way, is_one):
    assert is_one is bool(way)


@pytest.mark.parametrize(
    ("passed", "target", "what"),
    [
        (("canary",), "full", "the database stands at stage canary, which is no longer declared"),
        (
            ("dark", "partial", "shadow"),
            "full",
            "the stages were passed as dark, partial, shadow, and are declared in an",
        ),
        (("dark", "partial"), "shadow", "shadow was never passed, and partial after it was"),
    ],
)
def test_stages_that_do_not_fit_what_was_passed_are_refused(passed, target, what):
    with pytest.raises(Mismatch) as caught:
        route(ROLLOUT, passed, target)

    [problem] = caught.value.problems
    assert problem.what.startswith(what)
    assert "declare the stages as they were, or begin anew: walk back with --target-stage disabled" == problem.fix


@pytest.mark.parametrize("passed", [("canary",), ("dark", "partial", "shadow"), ("full",)])
def test_there_is_always_a_way_back_to_the_start(passed):
    assert Route(back_to="disabled") == route(ROLLOUT, passed, "disabled")
