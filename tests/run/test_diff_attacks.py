"""Hostile material for `runner diff`, the lint and the comment: trees that no git makes, names, endless text."""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import cmarkgfm
import pytest
from conftest import ROOT

from runner.config.revision import side
from runner.errors import InvalidConfig
from runner.report.markdown import markdown
from runner.report.sarif import sarif

CONFIG = "config/rollout.yaml"


class Repository:
    """Objects that git itself would not write."""

    def __init__(self, folder):
        self.folder = folder
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments, given=b""):
        done = subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, input=given)
        return done.stdout.decode().strip()

    def object(self, kind, content):
        return self.git("hash-object", "-t", kind, "-w", "--stdin", "--literally", given=content)

    def tree(self, *entries):
        written = (f"{mode} {name}\0".encode() + bytes.fromhex(content) for mode, name, content in entries)
        return self.object("tree", b"".join(written))

    def commit(self, tree):
        who = "dev <dev@example.com> 1 +0000"
        return self.object("commit", f"tree {tree}\nauthor {who}\ncommitter {who}\n\nx\n".encode())


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "repository").mkdir()
    temporary = tmp_path / "a/b/c/d/e"
    temporary.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.chdir(tmp_path / "repository")
    return Repository(tmp_path / "repository")


def refused(revision):
    with pytest.raises(InvalidConfig) as raised, side(f"{revision}:{CONFIG}", {}):
        pass
    return raised.value.problems[0].what


def _above(repository, planted):
    return ("40000", "m", repository.tree(("40000", "..", repository.tree(("40000", "..", planted)))))


TREES = {
    "a folder called ..": lambda made, planted, _: [_above(made, planted)],
    "a name with slashes": lambda made, _, blob: [
        ("40000", "m", made.tree(("100644", "../../../../PLANTED", blob))),
    ],
    "a link and a folder of one name": lambda made, planted, _: [
        ("120000", "m", made.object("blob", os.fsencode(made.folder.parent / "elsewhere"))),
        ("40000", "m", planted),
    ],
    "a file and a folder of one name": lambda _, planted, blob: [("100644", "m", blob), ("40000", "m", planted)],
    "a link to nothing": lambda made, *_: [("120000", "m", made.object("blob", b""))],
    "a link with a NUL": lambda made, *_: [("120000", "m", made.object("blob", b"a\0b"))],
    "a link of half a megabyte": lambda made, *_: [("120000", "m", made.object("blob", b"a/" * 250_000))],
}


@pytest.mark.parametrize("entries", TREES.values(), ids=TREES)
def test_a_tree_that_no_checkout_takes_is_refused_and_nothing_is_written_beside(repository, tmp_path, entries):
    (tmp_path / "elsewhere").mkdir()
    blob = repository.object("blob", b"planted\n")
    planted = repository.tree(("100644", "PLANTED", blob))
    config = repository.object("blob", b"version: 1\nmigrations: m\n")
    folder = repository.tree(*entries(repository, planted, blob), ("100644", "rollout.yaml", config))
    commit = repository.commit(repository.tree(("40000", "config", folder)))

    assert "in a way that no checkout takes" in refused(commit)

    assert [] == [*tmp_path.rglob("PLANTED")]


NAMED = {"a NUL": r'"a\0b"', "many folders": "a/" * 2000 + "x", "a path of half a megabyte": "a/" * 250_000}


@pytest.mark.parametrize("named", NAMED.values(), ids=NAMED)
def test_a_config_that_names_what_no_system_has_is_left_to_the_loader(repository, named):
    config = repository.object("blob", f"version: 1\nproviders: {named}\n".encode())
    commit = repository.commit(
        repository.tree(("40000", "config", repository.tree(("100644", "rollout.yaml", config))))
    )
    before_s = time.monotonic()

    with side(f"{commit}:{CONFIG}", {}) as laid_out:
        assert laid_out.path.is_file()

    assert time.monotonic() - before_s < 20


def test_a_path_that_no_system_has_is_refused(repository):
    commit = repository.commit(repository.tree())
    with (
        pytest.raises(InvalidConfig, match="is no file inside of the repository"),
        side(f"{commit}:{'a/' * 60_000}x", {}),
    ):
        pass


def test_settings_that_make_git_talk_do_not_get_into_its_answers(repository, monkeypatch):
    config = repository.object("blob", b"version: 1\n")
    commit = repository.commit(
        repository.tree(("40000", "config", repository.tree(("100644", "rollout.yaml", config))))
    )
    monkeypatch.setenv("GIT_TRACE", "/dev/stdout")
    monkeypatch.setenv("GIT_ICASE_PATHSPECS", "1")

    with side(f"{commit}:{CONFIG}", {}) as laid_out:
        assert "version: 1\n" == laid_out.path.read_text()


# what is written


def review(**told):
    change = {"code": "gate-loosened", "risk": "caution", "what": "w", "why": "y", "path": "p", "names": []}
    change |= {"before": None, "after": None, "file": "f", "line": 1, "column": 1} | told
    counts = {"blocked": 0, "dangerous": 0, "caution": 1, "safe": 0}
    names = {"old": "o", "new": "n", "rollout": "r", "environment": "e", "verdict": "caution"}
    return {**names, "counts": counts, "changes": [change], "findings": [], "replay": None}


def test_a_file_name_that_is_not_utf_8_stands_in_every_form():
    found = review(file="c\udcff/rollout.yaml")

    assert "c\\udcff/rollout.yaml" in markdown(found)

    place = json.loads(json.dumps(sarif(found, "1")))["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert "c%FF/rollout.yaml" == place["artifactLocation"]["uri"]


def test_a_file_name_with_a_bar_stays_in_its_cell():
    page = cmarkgfm.github_flavored_markdown_to_html(markdown(review(file="a\\|<b>`[x](http://evil.example)`/r.yaml")))

    assert 4 == page.count("<td>")
    assert "<a " not in page
    assert "<b>" not in page


# the lint


ENDLESS = {
    "dollars": "SELECT 1 " + " ".join(f"$a{number}$" for number in range(15_000)),
    "escapes": "SELECT " + r"E'\'" * 24_000,
    "rows": "INSERT INTO t VALUES (" + " ".join(f"$a{number}$" for number in range(100_000)),
    "a condition": "DELETE FROM t WHERE " + " AND ".join(["a = 1"] * 9000),
}


@pytest.mark.parametrize("statement", ENDLESS.values(), ids=ENDLESS)
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_no_statement_stops_the_lint(tmp_path, engine, statement):
    file = tmp_path / "0001_x.sql"
    file.write_text(f"-- migrate:up\n{statement};\n-- migrate:down\nSELECT 1;\n")
    command = [sys.executable, "-m", "runner", "lint", str(file), "--engine", engine]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert (0, "") == (done.returncode, done.stderr)


def test_a_comment_for_a_line_with_several_statements_lets_none_of_them_through(tmp_path):
    file = tmp_path / "0001_x.sql"
    text = "-- lint:ignore table-dropped nobody reads a\nDROP TABLE a; DROP TABLE b;"
    file.write_text(f"-- migrate:up destructive:true\n{text}\n-- migrate:verify\nSELECT 1;\n")
    command = [sys.executable, "-m", "runner", "lint", str(file), "--json"]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    codes = [each["code"] for each in json.loads(done.stdout)["findings"]]
    assert ["ignore-unused", "table-dropped", "table-dropped"] == sorted(codes)


# the comment

NO_SENSE = "no comment: what the API answered could not be understood\n"
SILENT = "no comment: the API did not answer\n"
GHOST = [{"id": 1, "body": "<!-- x -->\n", "user": None, "html_url": "https://x/1"}]
ANSWERS = {
    "of a person whose account is gone": (json.dumps(GHOST).encode(), NO_SENSE),  # and the POST is answered by a list
    "a number": (b"7", NO_SENSE),
    "comments without anything": (b"[{}]", NO_SENSE),
    "too deep": (b"[" * 100_000, SILENT),
}


@pytest.mark.parametrize(("answer", "said"), ANSWERS.values(), ids=ANSWERS)
def test_an_api_that_answers_nonsense_is_told_without_a_traceback(tmp_path, answer, said):
    asked = []

    class Door(BaseHTTPRequestHandler):
        def _serve(self):
            asked.append(self.command)
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815  http.server's names

        def log_message(self, *_):
            pass

    page = tmp_path / "comment.md"
    page.write_text("<!-- x -->\ntext\n")
    server = HTTPServer(("127.0.0.1", 0), Door)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        environ = {"GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}", "GITHUB_REPOSITORY": "a/b"}
        environ |= {"REVIEW_PULL": "7", "GITHUB_TOKEN": "s3cr3t", "REVIEW_WAIT_S": "0", "PATH": os.environ["PATH"]}
        command = [sys.executable, "-I", str(ROOT / ".github/scripts/comment.py"), str(page)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    finally:
        server.shutdown()
        server.server_close()

    assert (1, said, "") == (done.returncode, done.stdout, done.stderr)
    assert ("POST" in asked) is (answer == json.dumps(GHOST).encode())
