"""
What a reviewer reads of realistic pull requests, to the byte.

Every folder is one: `before/` and `after/` are laid over `base/`, the bundled rollout as it was when these were written
(`after/` over `before/`, too), and `expected.md` is the review. pull.json says the title, files to `remove`, the
`environment` and its variables, and how many cache `entries` to add where that is too much to keep in a file.

    UPDATE_REVIEWS=1 pytest tests/pulls    writes the reviews again, those of docs/ too; read the difference
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cmarkgfm
import pytest
import yaml
from cmarkgfm.cmark import Options

from runner.config.load import declaration
from runner.config.revision import side
from runner.engine.reviewing import review
from runner.report.markdown import LARGEST_BYTES, markdown

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PULLS = sorted(folder for folder in HERE.iterdir() if folder.name[:2].isdigit())
GUIDE = (ROOT / "docs/review.md").read_text()
CONFIG = "config/rollout.yaml"
NAMES = f"main:{CONFIG}", CONFIG
SHOWN = {
    "gates-loosened.md": "01_gates_loosened_before_a_holiday",
    "provider-onboarded.md": "03_betmgm_onboarded",
    "caches-trimmed.md": "05_caches_trimmed",
}
"""The pages of docs/reviews."""
TAGS = {"h2", "h3", "p", "strong", "code", "ul", "li", "br", "details", "summary", "pre"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
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
    """The review of the repository that one stands in, as data."""
    found = []
    for name in NAMES:
        with side(name, os.environ) as place:
            found.append(declaration(place.path, told.get("environment"), called=place.called))
    return review(*found, NAMES)


def rendered(text):
    """HTML as GitHub's renderer writes it, before it takes out what is not allowed."""
    return cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)


def shown(page):
    """The words of a page of HTML, on one line, without what is not seen."""
    text = html.unescape(re.sub(r"<[^>]+>", " ", re.sub(r"</?(?:strong|code)>", "", page)))
    return " ".join(text.replace("\N{ZERO WIDTH SPACE}", "").split())


def update(file, text):
    if os.environ.get("UPDATE_REVIEWS"):
        file.write_text(text)


@pytest.mark.parametrize("pull", PULLS, ids=lambda pull: pull.name)
def test_a_pull_request_is_reviewed_with_exactly_these_words(pull, tmp_path, monkeypatch):
    told = make_repository(pull, tmp_path)
    monkeypatch.chdir(tmp_path)
    for name, value in told.get("environ", {}).items():
        monkeypatch.setenv(name, value)

    found = reviewed(told)

    text = markdown(found)
    update(pull / "expected.md", text)
    assert (pull / "expected.md").read_text() == text
    words = shown(rendered(text))
    assert [] == [each["what"] for each in found["changes"] + found["findings"] if each["what"] not in words]


@pytest.mark.parametrize("pull", PULLS, ids=lambda pull: pull.name)
def test_nothing_in_a_review_is_obeyed(pull):
    page = rendered((pull / "expected.md").read_text())

    assert set(re.findall(r"</?([\w-]+)", page.partition("-->")[2])) <= TAGS
    assert page.count("<details>") == page.count("</details>")
    assert not re.search(r"@(?!\N{ZERO WIDTH SPACE})\w", re.sub(r"<code>.*?</code>", "", page))


@pytest.mark.parametrize(("page", "name"), SHOWN.items())
def test_the_pages_show_these_very_reviews(page, name):
    text = (HERE / name / "expected.md").read_text()

    update(ROOT / "docs/reviews" / page, text)
    assert text == (ROOT / "docs/reviews" / page).read_text()
    assert f"(reviews/{page})" in GUIDE


def test_the_guide_shows_what_the_command_prints_and_yaml_that_is_valid(tmp_path):
    lay_over(HERE / "base", tmp_path)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "-q", "-m", "before")
    git(tmp_path, "update-ref", "refs/remotes/origin/main", "HEAD")
    config = tmp_path / CONFIG
    [command] = [line for line in blocks("sh") if line.startswith("runner diff")]
    risks, workflow, hooks = blocks("yaml")
    config.write_text(config.read_text().replace("{max: 5}  ", "{max: 50} "))
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    config.write_text(f"{config.read_text()}\n{risks}")

    assert blocks("text") == [done.stdout]
    assert {"ttl-shortened", "starts-active"} == {each.code for each in declaration(config, None).rollout.reassessed}
    steps = yaml.safe_load(workflow)["jobs"]["review"]["steps"]
    assert set(steps[1]["with"]) <= set(yaml.safe_load((ROOT / "action.yml").read_text())["inputs"])
    offered = {each["id"] for each in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    assert {each["id"] for each in yaml.safe_load(hooks)["repos"][0]["hooks"]} <= offered
    assert f"{len(PULLS) - len(SHOWN)} more" in GUIDE


def blocks(language):
    """The fenced blocks of the guide in one language."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("name", [*SHOWN.values(), "12_reformatted", "22_hostile_names"])
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
