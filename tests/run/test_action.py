"""The GitHub Action: its steps as action.yml wires them, on real git repositories and a local stand-in of the API."""

import json
import os
import re
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from conftest import ROOT, make_project

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/rollout-review.yml").read_text())
CONFIG = "config/rollout.yaml"
MARKER = f'<!-- runner-review "{CONFIG}" -->'
TOKEN = "ghs_s3cr3t-of-the-run"  # noqa: S105  the one that must not get out
GIT = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    **{f"GIT_{who}_{what}": "dev@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
LOOSER = ("max: 5}", "max: 50}")
PINNED = re.compile(r"[\w./-]+@[0-9a-f]{40}")


class Api:
    """The comments of a pull request, behind GitHub's interface; `answers` are given instead, while there are any."""

    def __init__(self):
        self.comments = []
        self.requests = []
        self.answers = []
        self.tokens = set()

    def add(self, body, kind="Bot"):
        number = 1000 + len(self.comments)
        self.comments.append(
            {"id": number, "body": body, "user": {"type": kind}, "html_url": f"https://github.example/c/{number}"}
        )
        return self.comments[-1]

    def answer(self, method, path, body):
        self.requests.append(method)
        if self.answers and (status := self.answers.pop(0)):
            return status, {"message": "Resource not accessible by integration"}
        url = urlsplit(path)
        if method == "GET":
            query = parse_qs(url.query)
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return 200, self.comments[size * (page - 1) : size * page]
        if method == "POST":
            assert url.path == "/repos/acme/odds/issues/7/comments"
            return 201, self.add(body["body"])
        number = int(url.path.removeprefix("/repos/acme/odds/issues/comments/"))
        [found] = [each for each in self.comments if each["id"] == number]
        found["body"] = body["body"]
        return 200, found


@contextmanager
def serving(api):
    class Door(BaseHTTPRequestHandler):
        def _serve(self):
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            api.tokens.add(self.headers["Authorization"])
            status, answer = api.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            if status in {301, 302, 307}:
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815  http.server's names

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def api():
    return Api()


class Pull:
    """A pull request: a repository as GitHub holds it, a clone of its trial merge, and the runs of the action on it."""

    def __init__(self, folder, api):
        self.origin, self.clone, self.temporary = (folder / name for name in ("origin", "clone", "temporary"))
        self.origin.mkdir()
        self.project = make_project(self.origin)
        self.api = api
        self.event = {"number": 7}
        (self.temporary / "rollout-review").mkdir(parents=True)
        (self.temporary / "rollout-review/venv").symlink_to(ROOT / ".venv")  # what the first step makes
        self.git("init", "-q", "-b", "main")
        self.git("config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub allows it
        self.commit("before")

    def git(self, *arguments, folder=None):
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder or self.origin,
            env={**os.environ, **GIT},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, title):
        self.git("add", "--all")
        self.git("commit", "-q", "--allow-empty", "-m", title)
        return self.git("rev-parse", "HEAD")

    def edit(self, *edits, branch="pull", file=CONFIG):
        """Change *file* on the branch, merge it on trial, and clone the merge as actions/checkout does."""
        self.branch(branch)
        path = self.origin / file
        text = path.read_text()
        for old, new in edits:
            assert old in text
            text = text.replace(old, new, 1)
        path.write_text(text)
        return self.push()

    def branch(self, name="pull"):
        self.git("switch", "-q", "-C", name, "main")

    def push(self, depth=1):
        head = self.commit("the change")
        base = self.git("rev-parse", "main")
        self.git("switch", "-q", "-C", "trial", "main")
        self.git("merge", "-q", "--no-ff", "-m", "trial", head)
        subprocess.run(["rm", "-rf", self.clone], check=True)
        self.git("clone", "-q", f"--depth={depth}", "--branch=trial", f"file://{self.origin}", self.clone)
        self.event = {"number": 7, "base": {"sha": base}, "head": {"sha": head}}
        return self

    def run(self, event="pull_request", action=ACTION, environ=None, **inputs):
        """Run the steps of the action but the first, until one fails."""
        given = {name: str(about.get("default", "")) for name, about in action["inputs"].items()}
        given |= {name.replace("_", "-"): value for name, value in ({"rehearse": "false"} | inputs).items()}
        given["token"] = TOKEN
        context = {"inputs": given, "github": {"event": {"pull_request": self.event}}}
        for name in ("output", "summary"):
            (self.temporary / name).write_text("")
        log, code = [], 0
        with serving(self.api) as url:
            plain = {
                **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "REVIEW_"))},
                **GIT,
                "GITHUB_API_URL": url,
                "GITHUB_REPOSITORY": "acme/odds",
                "GITHUB_EVENT_NAME": event,
                "GITHUB_ACTION_PATH": str(ROOT),
                "GITHUB_OUTPUT": str(self.temporary / "output"),
                "GITHUB_STEP_SUMMARY": str(self.temporary / "summary"),
                "RUNNER_TEMP": str(self.temporary),
                "REVIEW_WAIT_S": "0",
                **(environ or {}),
            }
            for step in action["runs"]["steps"][1:]:
                own = {name: filled(text, context) for name, text in step["env"].items()}
                done = subprocess.run(
                    ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                    cwd=self.clone,
                    env={**plain, **own},
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=120,
                )
                log += [done.stdout, done.stderr]
                code = done.returncode
                if code:
                    break
        return Ran(code, "".join(log), self.temporary)


class Ran:
    """What a run of the action left behind."""

    def __init__(self, code, log, folder):
        assert "Traceback" not in log, log
        self.code = code
        self.log = log
        self.summary = (folder / "summary").read_text()
        lines = (folder / "output").read_text().splitlines()
        self.outputs = dict(line.split("=", 1) for line in lines)
        self.folder = folder


def filled(text, context):
    """Return *text* with GitHub's expressions replaced: names with dots, and the first of several that is something."""

    def value(expression):
        for name in expression[1].split("||"):
            found = context
            for part in name.strip().split("."):
                found = found.get(part, "") if isinstance(found, dict) else ""
            if found:
                return str(found)
        return ""

    return re.sub(r"\$\{\{(.*?)\}\}", value, text)


@pytest.fixture
def pull(tmp_path, api):
    return Pull(tmp_path, api)


# the comment


def test_the_first_run_posts_a_comment_and_the_next_one_updates_it(pull, api):
    first = pull.edit(LOOSER).run()
    text = api.comments[0]["body"]
    second = pull.edit(("max: 5}", "max: 7}")).run()

    assert [0, 0] == [first.code, second.code]
    assert ["GET", "POST", "GET", "PATCH"] == api.requests
    assert 1 == len(api.comments)
    assert text.startswith(f"{MARKER}\n## 🔴 Rollout review of schema-finalization: dangerous\n")
    assert "errors max 5 -> 50" in text
    assert "errors max 5 -> 7" in api.comments[0]["body"]
    assert "https://github.example/c/1000" == second.outputs["comment-url"]


def test_its_comment_is_found_on_any_page_and_nobody_elses_is_touched(pull, api):
    others = [
        f"{MARKER}\nsaid by a person",
        f'<!-- runner-review "other/{CONFIG}" -->\nof another rollout',
        f"> {MARKER}\nquoted by a bot",
        *(f"talk {number}" for number in range(130)),
    ]
    for number, body in enumerate(others):
        api.add(body, "User" if number not in {1, 2} else "Bot")
    own = api.add(f"{MARKER}\r\nold review")
    last = api.add(f"{MARKER}\nsaid by a person, later", "User")["body"]

    ran = pull.edit(LOOSER).run()

    assert 0 == ran.code
    assert ["GET", "GET", "PATCH"] == api.requests
    assert "errors max 5 -> 50" in own["body"]
    assert [*others, last] == [each["body"] for each in api.comments if each is not own]


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([403], "the token may not write it (403), as that of a fork's pull request may not"),
        ([None, 403], "the token may not write it (403), as that of a fork's pull request may not"),
        ([None, 404], "the token may not write it (404), as that of a fork's pull request may not"),
        ([500] * 4, "the API answered 500"),
        ([302], "the API answered 302"),  # the token follows nobody
    ],
)
def test_a_comment_that_cannot_be_written_changes_nothing(pull, api, answers, told):
    api.answers = answers

    ran = pull.edit(LOOSER).run()

    assert 0 == ran.code
    assert (
        f"::warning title=Rollout review::no comment: {told}; the review stands in the summary of the run\n" in ran.log
    )
    assert "errors max 5 -> 50" in ran.summary
    assert [] == api.comments
    assert "comment-url" not in ran.outputs


def test_an_api_that_has_a_bad_moment_is_asked_again(pull, api):
    api.answers = [502, 500, None, 429]

    ran = pull.edit(LOOSER).run()

    assert 0 == ran.code
    assert ["GET", "GET", "GET", "POST", "POST"] == api.requests
    assert 1 == len(api.comments)


def test_an_api_that_does_not_answer_changes_nothing(pull):
    ran = pull.edit(LOOSER).run(environ={"GITHUB_API_URL": "http://127.0.0.1:1"})

    assert 0 == ran.code
    assert "::warning title=Rollout review::no comment: the API did not answer" in ran.log


def test_another_bots_comment_that_may_not_be_edited_does_not_stop_ours(pull, api):
    api.add(f"{MARKER}\nof another bot")
    api.answers = [None, 403]

    ran = pull.edit(LOOSER).run()

    assert 0 == ran.code
    assert ["GET", "PATCH", "POST"] == api.requests
    assert f"{MARKER}\nof another bot" == api.comments[0]["body"]


@pytest.mark.parametrize("inputs", [{"comment": "false"}, {}])
def test_no_comment_is_written_where_none_is_wanted_or_there_is_no_pull_request(pull, api, inputs):
    pull.edit(LOOSER)
    if not inputs:
        del pull.event["number"]

    ran = pull.run(**inputs)

    assert 0 == ran.code
    assert [] == api.requests
    assert "errors max 5 -> 50" in ran.summary


def test_the_token_reaches_the_api_and_nothing_else(pull, api):
    ran = pull.edit(LOOSER).run()

    files = (file for folder in (pull.temporary, pull.clone) for file in folder.rglob("*") if file.is_file())
    left = [file for file in files if ".venv" not in str(file.resolve()) and TOKEN.encode() in file.read_bytes()]
    assert {f"Bearer {TOKEN}"} == api.tokens
    assert [] == left
    assert TOKEN not in ran.log + api.comments[0]["body"]
    assert [["Comment"]] == [
        [step["name"]] for step in ACTION["runs"]["steps"] if "GITHUB_TOKEN" in step.get("env", {})
    ]


# the verdict


@pytest.mark.parametrize(
    ("fail_on", "code"), [("never", 0), ("blocked", 0), ("dangerous", 5), ("caution", 5), ("any", 64)]
)
def test_it_fails_on_what_fail_on_says(pull, api, fail_on, code):
    ran = pull.edit(LOOSER).run(fail_on=fail_on)

    assert code == ran.code
    assert len(api.comments) == (code != 64)
    assert ("::error title=Rollout review::a change is as risky as fail-on says" in ran.log) is (code == 5)


def test_the_outputs_say_what_was_found(pull):
    ran = pull.edit(LOOSER).run(sarif="out/rollout.sarif")

    assert {
        "verdict": "dangerous",
        "blocked": "0",
        "dangerous": "1",
        "caution": "0",
        "safe": "0",
        "sarif": "out/rollout.sarif",
        "review": str(pull.temporary / "rollout-review/comment.md"),
        "comment-url": "https://github.example/c/1000",
    } == ran.outputs
    found = json.loads((pull.clone / "out/rollout.sarif").read_text())
    assert ["gate-loosened"] == [each["ruleId"] for each in found["runs"][0]["results"]]
    assert set(ran.outputs) == set(ACTION["outputs"])


def test_a_config_that_is_not_valid_is_told_and_not_compared(pull, api):
    ran = pull.edit(("mode: observe", 'mode: "```\\n::error::@octocat"')).run(rehearse="true")

    body = api.comments[0]["body"]
    assert 3 == ran.code
    assert "invalid" == ran.outputs["verdict"]
    assert body.startswith(f"{MARKER}\n## ⛔ Rollout review: `{CONFIG}` is not valid\n")
    assert "\n````\nerror: stages.dark_mode.mode is" in body
    assert "rehearsal" not in body.lower().replace("compared or rehearsed", "")


def test_every_environment_has_to_be_valid(pull):
    ran = pull.edit(LOOSER).run(environments="local\nproduction")

    assert 3 == ran.code
    assert "DATABASE_URL" in ran.summary


def test_a_new_rollout_has_nothing_to_be_compared_with_and_shows_its_plan(pull, api):
    pull.git("rm", "-q", "-r", "config")
    (pull.origin / "README.md").write_text("no rollout yet")
    pull.commit("nothing yet")
    pull.branch()
    pull.git("checkout", "-q", "HEAD^", "--", "config")

    ran = pull.push().run()

    body = api.comments[0]["body"]
    assert 0 == ran.code
    assert ("new", "0") == (ran.outputs["verdict"], ran.outputs["blocked"])
    assert body.startswith(f"{MARKER}\n## 🟡 Rollout review: `{CONFIG}` is new\n")
    assert "Plan: 3 migrations to apply, 53 rows to add" in body


def test_what_mends_a_broken_base_is_let_through(pull, api):
    text = (pull.origin / CONFIG).read_text()
    (pull.origin / CONFIG).write_text(text.replace("mode: observe", "mode: obsrve"))
    pull.commit("broken")

    ran = pull.edit(("mode: obsrve", "mode: observe")).run(fail_on="caution")

    assert 0 == ran.code
    assert "incomparable" == ran.outputs["verdict"]
    assert "obsrve" in api.comments[0]["body"]


def test_a_rehearsal_that_proves_all_is_told_in_a_line(pull, api):
    ran = pull.edit(LOOSER).run(rehearse="true")

    assert 0 == ran.code
    assert "\n\n🟢 Valid, and rehearsed on a copy: `proved: 4 drills, 3 rollback levels" in api.comments[0]["body"]


def test_a_rehearsal_that_fails_is_told_and_fails(pull, api):
    pull.branch()
    (pull.origin / "sql/sqlite/0004_forgetful.sql").write_text(
        "-- migrate:up\nCREATE TABLE left_behind (id INTEGER PRIMARY KEY);\n-- migrate:down\nSELECT 1;\n"
        "-- migrate:verify\nSELECT 1;\n"
    )

    ran = pull.push().run(rehearse="true", fail_on="never")

    body = api.comments[0]["body"]
    assert 1 == ran.code
    assert "\n🔴 **The rehearsal failed**: what it showed stands at the end.\n" in body
    assert "### The rehearsal\n\n```\n" in body
    assert "FAIL" in body
    assert 65_536 >= len(body)


# what it is compared with


def test_only_what_the_pull_request_brings_is_reviewed(pull):
    before = pull.git("rev-parse", "main")
    pull.branch()
    path = pull.origin / CONFIG
    path.write_text(path.read_text().replace("duration: 20m", "duration: 30m"))
    head = pull.commit("the change")
    pull.git("switch", "-q", "main")
    path.write_text(path.read_text().replace(*LOOSER))
    now = pull.commit("meanwhile")
    pull.git("switch", "-q", "pull")
    pull.push()

    pull.event["base"]["sha"] = before  # of the time when the event came; the trial merge is newer
    merged = pull.run(comment="false").outputs
    pull.git("fetch", "-q", "--unshallow", folder=pull.clone)
    pull.git("checkout", "-q", head, folder=pull.clone)
    pull.event["base"]["sha"] = now
    head_only = pull.run(comment="false").outputs

    assert [("0", "1")] * 2 == [(each["dangerous"], each["safe"]) for each in (merged, head_only)]


def test_a_base_that_is_out_of_reach_says_what_to_check_out(pull):
    pull.edit(LOOSER)
    pull.git("remote", "remove", "origin", folder=pull.clone)

    ran = pull.run()

    assert 64 == ran.code
    assert "the base is not in this clone, and cannot be fetched: check out with fetch-depth: 0" in ran.log


def test_a_branch_can_be_named_as_the_base(pull):
    ran = pull.edit(LOOSER).run(base="main")

    assert "1" == ran.outputs["dangerous"]


# what somebody else has named


@pytest.mark.parametrize("name", ["base", "config", "environments", "fail_on", "sarif", "replay"])
def test_no_input_is_executed(pull, name):
    pull.edit(LOOSER)

    for hostile in ("$(touch pwned);touch pwned #", "--upload-pack=touch pwned"):
        pull.run(comment="false", **{name: hostile})

    assert [] == [*pull.clone.rglob("pwned"), *pull.temporary.rglob("pwned")]


def test_no_name_of_the_event_is_executed_or_even_read(pull):
    pull.edit(LOOSER, branch="a;touch${IFS}pwned;#$(touch${IFS}pwned)")
    pull.event |= {"title": "$(touch pwned)", "body": "::stop-commands::"}
    pull.event["head"]["ref"] = "$(touch pwned)"

    ran = pull.run()

    assert 0 == ran.code
    assert [] == list(pull.clone.rglob("pwned"))
    assert "pwned" not in ran.log


def test_what_the_runner_prints_is_no_command_of_the_workflow(pull):
    ran = pull.edit(("name: schema-finalization", 'name: "::error::owned"')).run()

    lines = ran.log.splitlines()
    quiet = [number for number, line in enumerate(lines) if line.startswith("::stop-commands::")]
    assert quiet
    assert all(f"::{lines[number].removeprefix('::stop-commands::')}::" in lines[number:] for number in quiet)
    owned = [number for number, line in enumerate(lines) if "::error::owned" in line]
    ends = [lines.index(f"::{lines[number].removeprefix('::stop-commands::')}::") for number in quiet]
    assert all(any(begin < at < end for begin, end in zip(quiet, ends, strict=True)) for at in owned)


def test_the_dangerous_event_is_refused(pull, api):
    ran = pull.edit(LOOSER).run(event="pull_request_target")

    assert 64 == ran.code
    assert [] == api.requests


# the files


def test_every_step_is_the_script_and_nothing_is_put_into_a_command():
    steps = ACTION["runs"]["steps"]

    assert [
        f'bash "$GITHUB_ACTION_PATH/.github/scripts/review.sh" {name}'
        for name in ("install", "review", "comment", "verdict")
    ] == [step["run"] for step in steps]
    assert {"bash"} == {step["shell"] for step in steps}


def test_what_others_wrote_is_pinned_and_few_rights_are_asked_for():
    [job] = WORKFLOW["jobs"].values()

    assert ["pull_request"] == list(WORKFLOW[True])  # YAML 1.1 reads the key `on` so
    assert {} == WORKFLOW["permissions"]
    assert {"contents": "read", "pull-requests": "write", "security-events": "write"} == job["permissions"]
    assert all(step["uses"] == "./" or PINNED.fullmatch(step["uses"]) for step in job["steps"])
    assert all("run" not in step for step in job["steps"])
    assert set(next(step["with"] for step in job["steps"] if step["uses"] == "./")) <= set(ACTION["inputs"])


def test_the_action_installs_what_the_tests_ran_with():
    def pins(file):
        return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / file).read_text(), re.MULTILINE))

    ours, tested = pins(".github/scripts/requirements.txt"), pins("requirements-dev.txt")
    assert ours == {name: tested[name] for name in ours}
    text = (ROOT / "pyproject.toml").read_text().partition("\ndependencies = [")[2].partition("\n]")[0]
    assert {name.lower() for name in re.findall(r'"([\w-]+)>=', text)} <= set(ours)
