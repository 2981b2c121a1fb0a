"""What a shell offers while somebody types: a real bash on a real terminal; zsh and fish by what they ask."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
STAGES = ["disabled", "dark_mode", "shadow_mode", "partial_active", "full_active"]
SHELLS = ("bash", "zsh", "fish")


def asked(project, shell, line):
    """Ask as *shell* does; return the names that are offered, and what else was said."""
    before, _, word = line.rpartition(" ")
    here = word if shell == "fish" else str(len(before.split(" ")))
    done = subprocess.run(
        [BIN / "runner"],
        cwd=project.folder,
        env=project.environ(_RUNNER_COMPLETE=f"{shell}_complete", COMP_WORDS=line, COMP_CWORD=here),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode
    if shell == "zsh":
        lines = done.stdout.splitlines()
        return [name for kind, name in zip(lines[::3], lines[1::3], strict=False) if kind == "plain"], done.stderr
    return re.findall(r"^plain,([^\t\n]*)", done.stdout, re.MULTILINE), done.stderr


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("runner pl", ["plan"]),
        ("runner plan --detailed", ["--detailed-exitcode"]),
        ("runner plan --env ", ["local", "production"]),
        ("runner plan --env p", ["production"]),
        ("runner apply config/rollout.yaml --target-stage ", STAGES),
        ("runner rollback --level e", ["emergency"]),
    ],
)
def test_a_shell_is_offered_what_may_stand_there(finished, shell, line, offered):
    assert (offered, "") == asked(finished[0], shell, line)


def test_the_snapshots_that_there_are_are_offered(project):
    assert 0 == project.run("apply", "--target-stage", "disabled").exit_code
    assert ([], "") == asked(project, "bash", "runner restore ")
    assert 0 == project.run("snapshot").exit_code

    [kept] = [path.stem for path in project.folder.glob("rollout.db.runner/snapshots/*.json")]
    assert ([kept], "") == asked(project, "bash", "runner restore ")


@pytest.mark.parametrize(
    "text",
    ["a: [", "version: 1", "stages: 7\nenvironments: [local]", "stages: [{name: $(id)}, {name: -x}]", "\0", None],
)
def test_a_config_that_is_broken_or_not_there_completes_nothing_and_says_nothing(project, text):
    config = project.folder / "config/rollout.yaml"
    config.unlink() if text is None else config.write_text(text)

    for line in ("runner plan --env ", "runner plan --target-stage ", "runner restore "):
        assert ([], "") == asked(project, "bash", line)


def test_a_shell_that_asks_nonsense_is_told_nothing(project):
    done = subprocess.run(
        [BIN / "runner"], env=project.environ(_RUNNER_COMPLETE="bash_complete"), capture_output=True, check=False
    )

    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_the_same_for_everybody_and_asks_this_program(project, shell):
    result = project.run("completion", shell)

    assert 0 == result.exit_code
    assert f"_RUNNER_COMPLETE={shell}_complete" in result.stdout


def test_a_real_bash_completes_on_a_real_terminal(project):
    reader, terminal = pty.openpty()
    environ = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "READY> "}
    with subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=project.folder,
        env=environ,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as bash:
        os.close(terminal)
        try:
            os.write(reader, b'eval "$(runner completion bash)"; echo set"up"\n')
            read_until(reader, "\nsetup")
            os.write(reader, b"runner app\t--target-stage sha\t")
            line = read_until(reader, "shadow_mode ")
        finally:
            os.close(reader)
            bash.terminate()
            bash.kill()

    assert "runner apply --target-stage shadow_mode " in line


def read_until(reader, wanted, patience_s=60):
    """Return what a terminal shows, as soon as *wanted* is in it."""
    shown, end = "", time.monotonic() + patience_s
    while wanted not in shown:
        ready, _, _ = select.select([reader], [], [], max(0, end - time.monotonic()))
        assert ready, shown
        with suppress(OSError):
            shown += os.read(reader, 4096).decode().replace("\r", "\n")
    return shown
