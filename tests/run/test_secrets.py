"""
Secrets are planted wherever a config may hold one, every command is run, and everything it leaves is searched.

That is stdout, stderr, the log, saved plans, snapshots and what rehearsals leave, and every byte of the database; for
the secret as it is, as a URL writes it, and inside of base64.
"""

import json
import re
import shutil
import threading
from base64 import b64encode
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest

NAMES = "user password path query header plain fallback health token elsewhere sent"
PLANTED = {name: f"s3cr3t{number:02}+{name}" for number, name in enumerate(NAMES.split())}


class Provider(BaseHTTPRequestHandler):
    """Answers as it is told to, and remembers what it was asked."""

    def do_GET(self):
        self.server.asked.append(f"{self.path}\n{self.headers}")
        status, extra = self.server.answer
        self.send_response(status, PLANTED["sent"])
        for name, value in extra.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "2")
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@contextmanager
def answering(status=200, **extra):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    server.asked, server.answer = [], (status, extra)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def forms(secret):
    """Return *secret* as it may be written: plain, quoted, and in base64, whatever stands before it there."""
    encoded = []
    for before in range(3):
        text = b64encode(b"." * before + secret.encode()).decode().rstrip("=")
        encoded.append(text[(before * 8 + 5) // 6 : -1])
    return {secret, quote(secret), quote(secret, safe=""), *encoded}


def leaks(project, *outputs):
    """Return which secrets stand in *outputs*, or in any file that is not the config itself, and where."""
    places = {f"output {number}": text.encode() for number, text in enumerate(outputs)}
    places |= {
        str(path.relative_to(project.folder)): path.read_bytes() + path.name.encode()
        for path in project.folder.rglob("*")
        if path.is_file() and path.relative_to(project.folder).parts[0] not in {"config", "sql"}
    }
    return [
        (name, place)
        for name, secret in PLANTED.items()
        for place, content in places.items()
        if any(form.encode() in content for form in forms(secret))
    ]


def plant(project):
    """Write secrets into the config; those that are left come from the environment."""
    project.edit("config/rollout.yaml", '{database: "sqlite:///rollout.db"', '{database: "${DATABASE_URL}"')
    project.edit(
        "config/rollout.yaml",
        "  production:",
        f"  other: {{database: 'postgresql://app:{PLANTED['elsewhere']}@db/app?password={PLANTED['elsewhere']}'}}\n"
        f"  third: {{database: '${{OTHER_URL:-mysql:{PLANTED['elsewhere']}@db}}'}}\n  production:",
    )
    project.edit("config/rollout.yaml", "metrics:", "probe: {timeout: 2s}\nmetrics:")
    project.edit(
        "config/providers.yaml",
        r"endpoint: \$\{DRAFTKINGS_URL:-\}",
        'endpoint: ${DRAFTKINGS_URL}\n    headers: {X-Api-Key: "${API_KEY}", X-Token: '
        f'Bearer {PLANTED["plain"]}, X-Other: "${{NO_SUCH:-{PLANTED["fallback"]}}}"}}',
    )


def environ(port, scheme="http", host="127.0.0.1"):
    user, password, path, query = (quote(PLANTED[name], safe="") for name in ("user", "password", "path", "query"))
    return {
        "DATABASE_URL": "sqlite:///rollout.db",
        "DRAFTKINGS_URL": f"{scheme}://{user}:{password}@{host}:{port}/{path}/{{sport}}?key={query}#{path}",
        "API_KEY": PLANTED["header"],
        "API_URL": f"{scheme}://{quote(PLANTED['token'])}@{host}:{port}/{quote(PLANTED['health'])}?{query}",
    }


LIFE = [
    (0, "validate"),
    (0, "validate --json"),
    (0, "plan"),
    (0, "plan --json --out before.plan --target-stage shadow_mode"),
    (0, "apply before.plan --log-file rollout.log"),
    (0, "snapshot --log-file rollout.log"),
    (0, "apply --json --log-file rollout.log"),
    (0, "apply"),
    (0, "status"),
    (0, "status --json"),
    (0, "check"),
    (0, "check --json"),
    (0, "verify providers --json"),
    (0, "verify caches"),
    (0, "history"),
    (0, "history --json"),
    (0, "snapshot --list --json"),
    (0, "rollback --level gradual --dry-run"),
    (0, "rollback --level standard --dry-run --json"),
    (0, "rollback --level emergency --dry-run"),
    (0, "rollback --level standard --log-file rollout.log"),
    (0, "restore {snapshot} --dry-run"),
    (0, "restore {snapshot} --yes --log-file rollout.log"),
    (0, "rehearse --live-probes --log-file rollout.log"),
    (0, "apply --target-stage disabled"),
    (0, "rollback --level emergency --json"),
    (0, "abort"),
    (0, "unlock"),
    (7, "apply before.plan"),
    (3, "validate --env other"),
    (3, "apply --env production"),
]


def test_no_secret_is_told_in_the_whole_life_of_a_rollout(project):
    plant(project)
    outputs, codes, snapshot = [], [], ""
    with answering() as server:
        for _, command in LIFE:
            result = project.run(*command.format(snapshot=snapshot).split(), **environ(server.server_port))
            outputs += [result.stdout, result.stderr]
            codes.append((result.exit_code, command))
            if command.startswith("snapshot --log"):
                snapshot = re.search(r"snapshot (\S+) taken", result.stdout)[1]

    asked = "\n".join(server.asked)
    assert LIFE == codes
    for name in ("path", "query", "header", "plain", "fallback", "health"):
        assert forms(PLANTED[name]) & set(re.findall(r"[^\s/?&=]+", asked)), f"{name} is not in use"
    assert [] == leaks(project, *outputs)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, {}), "HTTP 500"),
        (
            (302, {"Location": f"http://{PLANTED['sent']}:{PLANTED['sent']}@127.0.0.1:9/{PLANTED['sent']}"}),
            "another host",
        ),
        ((302, {"Location": f"/{PLANTED['sent']}"}), "redirected more than 5 times"),
        ((302, {"Location": f"{PLANTED['sent']}://["}), "redirected to what is no"),
        ((200, {"Content-Encoding": "gzip"}), "answer ended early"),
    ],
)
def test_no_secret_is_told_of_a_provider_that_fails(project, answer, told):
    plant(project)
    status, extra = answer
    with answering(status, **extra) as server:
        fails(project, told, environ(server.server_port))


@pytest.mark.parametrize(
    ("scheme", "host", "told"),
    [
        ("http", "127.0.0.1", "connection refused"),
        ("http", f"{PLANTED['sent']}.invalid".replace("+", "-"), "name cannot be resolved"),
        ("https", "127.0.0.1", "TLS: "),
    ],
)
def test_no_secret_is_told_of_an_address_that_nobody_answers_at(project, scheme, host, told):
    plant(project)
    with answering() as server:
        port = server.server_port if scheme == "https" else 9
        fails(project, told, environ(port, scheme, host))


def fails(project, told, variables):
    applied = project.run("apply", "--target-stage", "dark_mode", "--log-file", "rollout.log", **variables)
    checked = project.run("check", "--json", **variables)
    status = project.run("status", **variables)
    history = project.run("history", "--json", **variables)

    assert (8, 4) == (applied.exit_code, checked.exit_code)
    assert told in applied.stdout or "no answer within" in applied.stdout  # a resolver may be silent, too
    assert told in checked.stdout
    outputs = [text for result in (applied, checked, status, history) for text in (result.stdout, result.stderr)]
    assert [] == leaks(project, *outputs)


@pytest.mark.parametrize(
    "url",
    [
        f"sqlite:///rollout.db?key={PLANTED['query']}",
        f"sqlite://{PLANTED['user']}:{PLANTED['password']}@/rollout.db",
        f"postgres:{PLANTED['user']}:{PLANTED['password']}",
        f"{PLANTED['password']}",
    ],
)
def test_no_secret_is_told_of_a_database_url_that_is_wrong(project, url):
    plant(project)
    variables = {**environ(9), "DATABASE_URL": url}
    results = [project.run(command, **variables) for command in ("validate", "apply", "status", "rehearse")]

    assert [3] * 4 == [result.exit_code for result in results]
    assert [] == leaks(project, *(text for result in results for text in (result.stdout, result.stderr)))


def test_a_secret_that_changed_in_the_middle_of_a_run_is_not_told_as_a_difference(project):
    plant(project)
    with answering() as server:
        variables = environ(server.server_port)
        process = project.start("apply", **variables)
        for line in process.stderr:
            if json.loads(line)["event"] == "tick.recorded":
                break
        process.kill()
        process.communicate()
        project.edit("config/providers.yaml", re.escape(PLANTED["plain"]), f"{PLANTED['plain']}-2")
        refused = project.run("apply", **variables)

    assert 7 == refused.exit_code
    assert [] == leaks(project, refused.stdout, refused.stderr)


@pytest.mark.parametrize("environment", ["local", "production", "other", "third"])
@pytest.mark.parametrize("form", ["text", "json", "markdown", "sarif"])
def test_no_secret_is_told_by_a_review_of_two_configs(project, environment, form):
    api = f"http://{PLANTED['token']}@odds.example/{PLANTED['health']}?{PLANTED['query']}"
    project.edit("config/rollout.yaml", r"\$\{API_URL:-\}", api)
    fanduel = f"http://{PLANTED['user']}:{PLANTED['password']}@odds.example/{PLANTED['path']}"
    project.edit("config/providers.yaml", r"\$\{FANDUEL_URL:-\}", fanduel)
    plant(project)
    for name in ("config", "sql"):
        shutil.copytree(project.folder / name, project.folder / "old" / name)
    for file in (project.folder / "old/config").iterdir():
        file.write_text(file.read_text().replace("s3cr3t", "0ldpass"))
    variables = environ(9)

    reviewed = project.run(
        "diff", "old/config/rollout.yaml", "config/rollout.yaml", "--env", environment, "--format", form, **variables
    )
    shutil.rmtree(project.folder / "old")

    assert reviewed.exit_code in {0, 3}
    assert reviewed.stdout
    assert "0ldpass" not in reviewed.stdout + reviewed.stderr
    assert [] == leaks(project, reviewed.stdout, reviewed.stderr)
