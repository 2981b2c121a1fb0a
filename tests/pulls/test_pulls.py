"""
What a reviewer reads of realistic pull requests, to the byte.

Every folder is one: `before/` and `after/` are laid over `base/`, the bundled rollout as it was when these were written
(`after/` over `before/`, too), and `expected.md` is the review. pull.json says the title, files to `remove`, the
`environment` and its variables, and how many cache `entries` to add where that is too much to keep in a file.

    UPDATE_REVIEWS=1 pytest tests/pulls    writes the reviews again; read the difference
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runner.config.load import declaration
from runner.config.revision import side
from runner.engine.reviewing import review
from runner.report.markdown import LARGEST_BYTES, markdown

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PULLS = sorted(folder for folder in HERE.iterdir() if folder.name[:2].isdigit())
CONFIG = "config/rollout.yaml"
NAMES = f"main:{CONFIG}", CONFIG
SHOWN = ("01_gates_loosened_before_a_holiday", "03_betmgm_onboarded", "04_wnba_added")
GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{f"GIT_{who}_{what}": "dev@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def about(pull):
    return json.loads((pull / "pull.json").read_text())


def git(folder, *arguments):
    subprocess.run(["git", *arguments], cwd=folder, env={**os.environ, **GIT}, check=True, capture_output=True)


def lay_over(folder, target):
    if folder.exists():
        shutil.copytree(folder, target, dirs_exist_ok=True)


def make_repository(pull, target):
    """A clone whose `main` is what the pull request goes to, and whose checked-out `pull` is what it brings."""
    told = about(pull)
    lay_over(HERE / "base", target)
    lay_over(pull / "before", target)
    git(target, "init", "-q", "-b", "main")
    git(target, "add", "--all")
    git(target, "commit", "-q", "-m", "before")
    git(target, "switch", "-q", "-c", "pull")
    lay_over(pull / "after", target)
    for file in told.get("remove", []):
        (target / file).unlink()
    warm(target / "config/caches.yaml", told.get("entries", 0))
    git(target, "add", "--all")
    git(target, "commit", "-q", "--allow-empty", "-m", told["title"])
    return told


def warm(file, count):
    """Add so many players to the cache entries."""
    lines = (
        f'      - {{key: "player:{number:04d}", confidence: 0.75, data: {{player: Player {number}}}}}\n'
        for number in range(count)
    )
    file.write_text(file.read_text().replace("\nlookups:", "".join(lines) + "\nlookups:"))


def reviewed(told):
    """The review of the repository that one stands in, as `runner diff --format markdown` prints it."""
    found = []
    for name in NAMES:
        with side(name, os.environ) as place:
            found.append(declaration(place.path, told.get("environment"), called=place.called))
    return markdown(review(*found, NAMES))


@pytest.mark.parametrize("pull", PULLS, ids=lambda pull: pull.name)
def test_a_pull_request_is_reviewed_with_exactly_these_words(pull, tmp_path, monkeypatch):
    told = make_repository(pull, tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in told.get("environ", {}).items():
        monkeypatch.setenv(name, value)

    found = reviewed(told)

    if os.environ.get("UPDATE_REVIEWS"):
        (pull / "expected.md").write_text(found)
    assert (pull / "expected.md").read_text() == found


@pytest.mark.parametrize("name", [*SHOWN, "12_reformatted", "22_hostile_names"])
def test_the_command_prints_the_same_review(name, tmp_path):
    told = make_repository(HERE / name, tmp_path)

    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "runner", "diff", *NAMES, "--format", "markdown"],
        cwd=tmp_path,
        env={**os.environ, **told.get("environ", {})},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ("", (HERE / name / "expected.md").read_text()) == (done.stderr, done.stdout)


@pytest.mark.parametrize("pull", PULLS, ids=lambda pull: pull.name)
def test_a_review_fits_a_comment_and_keeps_secrets(pull):
    found = (pull / "expected.md").read_text()

    assert LARGEST_BYTES >= len(found.encode())
    assert "s3cr3t" not in found


def test_there_are_many_pull_requests():
    assert len(PULLS) >= 22
