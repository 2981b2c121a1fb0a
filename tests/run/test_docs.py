"""What the pages say is what the program does: tables are compared, commands are run."""

import re
import subprocess
import sys

from conftest import ROOT

from runner.decide.machine import NEXT
from runner.events import EVENTS

WHERE = "import runner, runner.cli; print(runner.__file__, flush=True); runner.cli.main()"


def table(page, columns):
    """The cells of every table row of *page* that has so many columns, without the heads."""
    rows = re.findall(r"^\|(.+)\|$", (ROOT / page).read_text(), re.MULTILINE)
    cells = [[cell.strip(" `") for cell in row.split("|")] for row in rows]
    return [row for row in cells if len(row) == columns and not set(row[0]) <= {"-"}]


def commands(heading):
    """The runner commands of the shell blocks under one heading of the README."""
    section = (ROOT / "README.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line.split("#")[0].split() for block in blocks for line in block.splitlines() if line.startswith("runner")]


def test_the_page_shows_every_move_of_the_state_machine():
    assert [[*map(str, (*move, state))] for move, state in NEXT.items()] == [
        row for row in table("docs/architecture.md", 3) if row[0] in {state for state, _ in NEXT}
    ]


def test_the_page_lists_every_event():
    assert [[name, *about] for name, about in EVENTS.items()] == table("docs/events.md", 3)[1:]


def test_the_walk_through_works_as_it_is_written(project):
    look_around = commands("What the first run shows")
    validate, back, again = commands("Change a threshold")
    assert 0 == project.run("apply").exit_code

    assert [0] * 5 == [project.run(*words[1:]).exit_code for words in look_around]
    project.edit("config/rollout.yaml", "min: 70", "min: 80")
    assert [0, 0, 8] == [project.run(*words[1:]).exit_code for words in (validate, back, again)]


def test_a_review_looks_as_it_is_shown(project):
    git = ["git", "-c", "user.name=dev", "-c", "user.email=dev@localhost"]
    for words in (["init", "--quiet"], ["add", "config", "sql"], ["commit", "--quiet", "--message", "base"]):
        subprocess.run([*git, *words], cwd=project.folder, check=True)
    project.edit("config/rollout.yaml", "min: 70", "min: 60")
    section = (ROOT / "README.md").read_text().split("\n## Review a rollout as a diff\n")[1]
    diff, lint = commands("Review a rollout as a diff")

    done = project.run(*diff[1:])

    assert (0, 0) == (done.exit_code, project.run(*lint[1:]).exit_code)
    assert re.search(r"```text\n(.*?)```", section, re.DOTALL)[1] in done.stdout


def test_a_wheel_holds_its_schemas_and_works_from_any_folder(tmp_path, project):
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path / "dist"), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = (tmp_path / "dist").glob("*.whl")
    unpacked = tmp_path / "unpacked"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(unpacked)], check=True)
    found = subprocess.run(
        [sys.executable, "-c", WHERE, "validate", str(project.folder / "config/rollout.yaml")],
        cwd=tmp_path,
        env=project.environ(PYTHONPATH=str(unpacked)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert str(unpacked) in found.stdout
    assert "is valid" in found.stdout, found.stdout + found.stderr
