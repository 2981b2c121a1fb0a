"""
Every folder below invalid/ is a fault: the files that differ from the bundled rollout, and the exact message.

`with.json`, where there is one: `environment` and `environ` for load, files to `remove`, and files to write that are
too large to keep (`repeat`: path to [before, text, times, after]).
"""

import json
import shutil
from pathlib import Path

import pytest

from runner.config.load import load
from runner.errors import InvalidConfig

ROOT = Path(__file__).parents[2]
FAULTS = sorted((Path(__file__).parent / "invalid").iterdir())
NOT_LAID_OUT = {"expected.txt", "with.json"}


def lay_out(fault, target):
    """Lay the bundled rollout into *target* and the files of *fault* over it; return what with.json says."""
    for folder in ("config", "sql"):
        shutil.copytree(ROOT / folder, target / folder)
    for file in fault.rglob("*"):
        if file.is_file() and file.name not in NOT_LAID_OUT:
            place = target / file.relative_to(fault)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    recipe = json.loads((fault / "with.json").read_text()) if (fault / "with.json").exists() else {}
    for file, (before, text, times, after) in recipe.get("repeat", {}).items():
        (target / file).write_text(before + text * times + after)
    for file in recipe.get("remove", []):
        (target / file).unlink()
    return recipe


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_bad_config_is_refused_with_exactly_this_message(fault, tmp_path, monkeypatch):
    recipe = lay_out(fault, tmp_path)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidConfig) as caught:
        load(Path("config/rollout.yaml"), recipe.get("environment"), recipe.get("environ", {}))

    assert (fault / "expected.txt").read_text() == f"{caught.value}\n"
    assert all(problem.where and problem.fix for problem in caught.value.problems)


def test_there_are_many_faults():
    assert len(FAULTS) >= 30
