"""What a person sees on a terminal, and what a command does not import."""

import os
import pty
import subprocess
import sys

import pytest

HEAVY = ("aiohttp", "asyncio", "jsonschema", "structlog", "sqlite_utils", "psycopg")


def test_a_terminal_sees_progress_and_no_json(project):
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        project.command("apply", "--target-stage", "dark_mode"),
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
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

    assert 0 == process.returncode
    assert b"dark_mode [############] 20/20" in shown
    assert b"\r" in shown
    assert b'{"' not in shown
    assert "at dark_mode after" in stdout


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
