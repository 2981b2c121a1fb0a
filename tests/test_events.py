import ast
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ground import NOON

from runner.events import EVENTS, Event, Teller, json_lines

RUNNER = Path(__file__).parents[1] / "runner"


def is_telling(node):
    """Say whether *node* is a call of tell("…"), whoever has it."""
    if not (isinstance(node, ast.Call) and node.args):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.lstrip("_") == "tell"


def texts(nodes):
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


TREES = {path: ast.parse(path.read_text()) for path in RUNNER.glob("**/*.py") if path.name != "events.py"}
TOLD = {
    text
    for tree in TREES.values()
    for node in ast.walk(tree)
    if is_telling(node)
    for text in texts(ast.walk(node.args[0]))
}
MENTIONED = {text for tree in TREES.values() for text in texts(ast.walk(tree))}


def test_every_event_that_is_told_is_in_the_list():
    assert set() == {name for name in TOLD if name not in EVENTS}


def test_every_event_in_the_list_is_told():
    assert set() == {name for name in EVENTS if name not in MENTIONED}


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_is_a_noun_and_what_happened_to_it(name):
    level, meaning = EVENTS[name]

    assert 2 == len(name.split("."))
    assert name.rpartition("_")[2].endswith(("ed", "back", "stuck", "taken", "held", "undone", "begun"))
    assert level in {"info", "warning", "error"}
    assert meaning


@pytest.fixture
def heard():
    return []


@pytest.fixture
def tell(heard):
    return Teller(lambda: NOON, heard.append, rollout="r")


def test_an_event_has_its_name_level_time_and_fields(tell, heard):
    tell("stage.entered", stage="dark", ticks=20)

    assert [Event("stage.entered", "info", NOON, {"rollout": "r", "stage": "dark", "ticks": 20})] == heard


def test_a_name_that_is_not_in_the_list_is_a_bug(tell, heard):
    with pytest.raises(KeyError, match=r"stage\.exploded"):
        tell("stage.exploded")
    assert [] == heard


def test_a_bound_teller_knows_more_and_the_first_one_does_not(tell, heard):
    bound = tell.bind(run_id="1").bind(stage="dark")
    bound("stage.passed", ticks=20)
    bound("stage.passed", stage="full")
    tell("run.started")

    assert [
        {"rollout": "r", "run_id": "1", "stage": "dark", "ticks": 20},
        {"rollout": "r", "run_id": "1", "stage": "full"},
        {"rollout": "r"},
    ] == [event.fields for event in heard]


def test_every_listener_hears_every_event(heard):
    again = []

    Teller(lambda: NOON, heard.append, again.append)("run.started")

    assert heard == again
    assert 1 == len(heard)


def test_nobody_needs_to_listen():
    Teller(lambda: NOON)("run.started")


def test_a_log_has_one_line_of_json_for_each_event_time_level_and_name_first():
    stream = io.StringIO()
    tell = Teller(lambda: NOON, json_lines(stream), rollout="r")

    tell("stage.breached", cause='errors is 6\nat most "5" — Größe', tick=None, values=[1.5, float("inf")])
    tell("run.failed", at=datetime(2026, 1, 1, tzinfo=UTC), path=Path("config"))

    first, second = stream.getvalue().splitlines()
    assert first.startswith('{"timestamp": "2026-08-02T12:00:00.000Z", "level": "error", "event": "stage.breached", ')
    assert json.loads(first)["cause"] == 'errors is 6\nat most "5" — Größe'
    assert "Größe" in first
    assert list(json.loads(second)) == ["timestamp", "level", "event", "rollout", "at", "path"]
