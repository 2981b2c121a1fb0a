"""What a person sees on a terminal, and what a command does not import."""

import os
import pty
import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "asyncio", "jsonschema", "structlog", "sqlite_utils", "psycopg")


def on_a_terminal(project, *arguments):
    """Run a command whose stderr is a terminal; return its exit code, its stdout, and what was shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        project.command(*arguments), cwd=project.folder, stdout=subprocess.PIPE, stderr=theirs, text=True
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 65536)
        except OSError:
            break
    stdout, _ = process.communicate(timeout=60)
    os.close(ours)
    return process.returncode, stdout, shown.decode()


def test_a_terminal_sees_progress_and_no_json(project):
    code, stdout, shown = on_a_terminal(project, "apply", "--target-stage", "dark_mode")

    assert 0 == code
    assert "dark_mode [############] 20/20" in shown
    assert "\r" in shown
    assert '{"' not in shown
    assert "at dark_mode after" in stdout


def test_a_terminal_sees_a_rollback_in_words(project):
    project.run("apply", "--target-stage", "shadow_mode")
    project.write("INSERT INTO providers VALUES ('acme')")

    gradual = on_a_terminal(project, "rollback", "--level", "gradual")[2]
    emergency = on_a_terminal(project, "rollback", "--level", "emergency")[2]

    assert "dark_mode [############] 10/10" in gradual
    assert "dark_mode observed: 10 ticks" in gradual
    assert "provider_states: 28 rows removed, 0 put back to what they were" in emergency
    assert "migration 0002_provider_states reverted" in emergency
    assert "table providers stays: it holds 1 row of others" in emergency
    assert "rolled back to disabled, verified" in emergency
    assert '{"' not in gradual + emergency
    assert "=" not in gradual + emergency, "every event has a line of its own"


@pytest.mark.parametrize(
    ("arguments", "needless"),
    [
        (("--help",), (*HEAVY, "yaml", "jsonschema_rs", "sqlite3")),
        (("validate",), HEAVY),
        (("status",), HEAVY),
        (("history",), HEAVY),
        (("apply",), HEAVY),
    ],
)
def test_a_command_imports_only_what_it_uses(finished, arguments, needless):
    project, _ = finished
    code = (
        "import sys, runner.cli\n"
        "try: runner.cli.main()\n"
        f"finally: sys.stderr.write('\\n'.join(sorted(set({needless!r}) & set(sys.modules))))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=project.folder, capture_output=True, text=True, check=False
    )

    assert (0, "") == (done.returncode, done.stderr)


def test_a_reader_that_goes_away_is_no_fault(finished):
    project, _ = finished
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        project.command("history"), cwd=project.folder, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)

    assert "Traceback" not in done.stderr
