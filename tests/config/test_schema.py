import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from runner.config.duration import PATTERN
from runner.config.shape import schema
from runner.decide.lint.rules import LINTS
from runner.decide.rules import RULES

ROOT = Path(__file__).parents[2]
FILES = ("rollout", "providers", "caches")


def nodes(schema):
    """Yield every mapping in *schema*, with the key that it stands at."""
    waiting = [("", schema)]
    while waiting:
        key, node = waiting.pop()
        if isinstance(node, dict):
            yield key, node
            waiting.extend(node.items())
        elif isinstance(node, list):
            waiting.extend((key, item) for item in node)


@pytest.mark.parametrize("name", FILES)
def test_a_schema_is_a_schema(name):
    Draft202012Validator.check_schema(schema(name))


@pytest.mark.parametrize("name", FILES)
def test_every_key_is_described_and_no_other_key_allowed(name):
    for _, node in nodes(schema(name)):
        for key, value in node.get("properties", {}).items():
            assert value.get("description"), key
        if "properties" in node:
            assert node["additionalProperties"] is False


@pytest.mark.parametrize("name", FILES)
def test_every_default_and_example_is_allowed(name):
    whole = schema(name)
    for _, node in nodes(whole):
        values = [*node.get("examples", []), *([node["default"]] if "default" in node else [])]
        for value in values:
            Draft202012Validator({**node, "$defs": whole["$defs"]}).validate(value)


@pytest.mark.parametrize("name", FILES)
def test_the_schemas_and_the_program_have_one_pattern_for_durations(name):
    assert schema(name)["$defs"]["duration"]["pattern"] == PATTERN


def test_a_config_may_judge_whatever_is_told():
    codes = [rule.code for rule in (*RULES, *LINTS)]

    assert sorted(codes) == schema("rollout")["$defs"]["risk_code"]["enum"]
    assert len(codes) == len(set(codes))


def test_what_is_written_from_the_program_is_up_to_date():
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    files = ("rollout.schema.json", "configuration.md", "risk.md")
    assert (done.returncode, done.stdout) == (0, "".join(f"{file} is up to date\n" for file in files)), done.stderr
