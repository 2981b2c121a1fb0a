"""
A process watched from outside: every write that leaves it is counted, and it is ended by SIGKILL at one of them.

The kernel stops the process at each system call that changes a file or a folder, whoever makes it: Python, SQLite, or
code that is yet to be written. Nothing in the process knows of it. For Linux on x86-64 and ARM; needs no privileges.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import signal
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE_ME, CONTINUE, TO_NEXT_STOP, SET_OPTIONS, SYSCALL_INFO = 0, 7, 24, 0x4200, 0x420E
OPTIONS = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 0x100000
"""Mark stops at system calls; follow fork, vfork, threads and exec; stop at what the filter picks; end with us."""
PICKED, AT_CALL = signal.SIGTRAP | 7 << 8, signal.SIGTRAP | 0x80
NO_NEW_PRIVILEGES, SET_FILTER = 38, 22
ALLOW, PICK = 0x7FFF0000, 0x7FF00000
LOAD, IF_EQUAL, IF_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06

MACHINE = {"x86_64": 0, "aarch64": 1, "arm64": 1}.get(platform.machine())
CALLS = {  # what may change a file or a folder: its number on x86-64 and on ARM, and where it says what it writes to
    "write": (1, 64, "descriptor"),
    "pwrite": (18, 68, "descriptor"),
    "writev": (20, 66, "descriptor"),
    "pwritev": (296, 70, "descriptor"),
    "pwritev2": (328, 287, "descriptor"),
    "sendfile": (40, 71, "descriptor"),
    "ftruncate": (77, 46, "descriptor"),
    "fallocate": (285, 47, "descriptor"),
    "fchmod": (91, 52, "descriptor"),
    "fsync": (74, 82, "descriptor"),
    "fdatasync": (75, 83, "descriptor"),
    "copy_file_range": (326, 285, "second descriptor"),
    "splice": (275, 76, "second descriptor"),
    "truncate": (76, 45, "path"),
    "creat": (85, None, "path"),
    "open": (2, None, "path"),
    "openat": (257, 56, "path in a folder"),
    "rename": (82, None, "path"),
    "renameat": (264, 38, "path in a folder"),
    "renameat2": (316, 276, "path in a folder"),
    "link": (86, None, "path"),
    "linkat": (265, 37, "path in a folder"),
    "symlink": (88, None, "path"),
    "symlinkat": (266, 36, "path"),
    "unlink": (87, None, "path"),
    "unlinkat": (263, 35, "path in a folder"),
    "mkdir": (83, None, "path"),
    "mkdirat": (258, 34, "path in a folder"),
    "rmdir": (84, None, "path"),
    "chmod": (90, None, "path"),
    "fchmodat": (268, 53, "path in a folder"),
}
FLAGS = {"open": 1, "openat": 2}
"""Which argument says how a file is opened: only one that is made or emptied is changed by that."""
SYNCS = {"fsync", "fdatasync"}
"""They change nothing that a kill could undo. They tell where one commit ends and the next begins."""
IN_PIECES = {"pwrite", "pwritev", "pwritev2"}
"""How SQLite writes: a commit is many of these in a row, to one file."""
EVENT = re.compile(rb'"event": ?"([a-z_.]+)"')
LINE = 200

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


class Write(NamedTuple):
    """A write that left the process: what it was and the how manieth of that, in how many pieces, and if it worked."""

    label: str
    ordinal: int
    pieces: int
    worked: bool = True


class Point(NamedTuple):
    """
    Where to kill: before, within (after so many pieces) or after the write that is the *ordinal*th called *label*.

    Without a label, the *ordinal*th of all.
    """

    label: str
    ordinal: int
    side: str
    pieces: int = 0


class Ended(NamedTuple):
    """How a process ended: its exit code, None where it was killed at the point, and what it had written until then."""

    exit_code: int | None
    writes: list[Write]


class NotWatched(Exception):
    """The system does not let this process be watched."""


def run(program: Callable[[], NoReturn], name: Callable[[str], str | None], kill: Point | None = None) -> Ended:
    """
    Run *program* in a process of its own to its end, or until it is killed at *kill*.

    *name* makes the label of a path, None where nothing is to be counted.
    """
    pid = os.fork()
    if pid == 0:
        _begin(program)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise NotWatched("this system does not let a process be watched (ptrace)")
    _ptrace(SET_OPTIONS, pid, OPTIONS)
    try:
        return _Watch(pid, name, kill).to_the_end()
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _begin(program: Callable[[], NoReturn]) -> NoReturn:
    _libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if _libc.ptrace(TRACE_ME, 0, None, None):
        os._exit(1)
    os.kill(os.getpid(), signal.SIGSTOP)
    code = _filter()
    held = ctypes.create_string_buffer(code, len(code))
    head = ctypes.create_string_buffer(struct.pack("HP", len(code) // 8, ctypes.addressof(held)))
    if _libc.prctl(SET_FILTER, 2, ctypes.addressof(head), 0, 0):
        os._exit(1)
    program()


def _filter() -> bytes:
    """Return the program by which the kernel picks the calls that we want to see."""
    steps = [(LOAD, 0, 0, 0)]
    for call, (*numbers, _) in CALLS.items():
        number = numbers[MACHINE or 0]
        if number is None:
            continue
        if call in FLAGS:
            steps += [(IF_EQUAL, 0, 4, number), (LOAD, 0, 0, 16 + 8 * FLAGS[call])]
            steps += [(IF_ANY_BIT, 0, 1, os.O_CREAT | os.O_TRUNC), (RETURN, 0, 0, PICK), (RETURN, 0, 0, ALLOW)]
        else:
            steps += [(IF_EQUAL, 0, 1, number), (RETURN, 0, 0, PICK)]
    return b"".join(struct.pack("HBBI", *step) for step in (*steps, (RETURN, 0, 0, ALLOW)))


NAMES = {numbers[MACHINE or 0]: (call, numbers[2]) for call, numbers in CALLS.items()}


class _Watch:
    """Stands by a process and counts what it writes; what it starts is followed, and not counted."""

    def __init__(self, pid: int, name: Callable[[str], str | None], kill: Point | None) -> None:
        self._pid = pid
        self._name = name
        self._kill = kill
        self._known = {pid: True}
        self._writes: list[Write] = []
        self._count: dict[str, int] = {}
        self._open: tuple[str, str] | None = None
        self._until_exit = False
        self._killed = False

    def to_the_end(self) -> Ended:
        """Let it go on from stop to stop, until all that it started has ended, too."""
        code = None
        task, resume, extra = self._pid, CONTINUE, 0
        while True:
            with suppress(ProcessLookupError):
                _ptrace(resume, task, extra)
            try:
                task, status = os.waitpid(-1, 0x40000000)
            except ChildProcessError:
                return Ended(code, self._writes)
            resume, extra = CONTINUE, 0
            if os.WIFSTOPPED(status):
                resume, extra = self._stopped(task, status >> 8)
            elif task == self._pid:
                code = None if self._killed else os.waitstatus_to_exitcode(status)

    def _stopped(self, task: int, stop: int) -> tuple[int, int]:
        """Look at one stop; return how to go on, and with which signal."""
        if task not in self._known:
            self._known[task] = _process_of(task) == self._pid
            return CONTINUE, 0 if stop == signal.SIGSTOP else stop & 0x7F
        if self._until_exit and stop == AT_CALL:
            self._until_exit = False
            if self._kill is None:
                self._writes[-1] = self._writes[-1]._replace(worked=_worked(task))
            else:
                self._end()
        elif stop == PICKED and self._known[task] and not self._killed:
            return (TO_NEXT_STOP if self._picked(task) else CONTINUE), 0
        is_signal = stop < 0x80 and stop != signal.SIGTRAP
        return CONTINUE, stop if is_signal else 0

    def _picked(self, task: int) -> bool:  # noqa: PLR0911  each return is a case of its own
        """Take in one call; kill where that is due, and say whether it is due when the call is done."""
        call, label = self._call(task)
        if label is None:
            return False
        kill = self._kill
        goes_on = call in IN_PIECES and self._open == (call, label)
        if kill and self._open and not goes_on and self._is_at(kill) and kill.side != "before":
            self._end()  # it had fewer pieces this time, or it is over
            return False
        if call in SYNCS:
            self._open = None
            return False
        if goes_on:
            self._writes[-1] = self._writes[-1]._replace(pieces=self._writes[-1].pieces + 1)
        else:
            self._count[label] = self._count.get(label, 0) + 1
            self._writes.append(Write(label, self._count[label], 1))
            self._open = (call, label)
        if kill is None:
            self._until_exit = call not in IN_PIECES
            return self._until_exit
        if not self._is_at(kill):
            return False
        if kill.side == "before":
            self._writes.pop()
            self._end()
            return False
        self._until_exit = kill.pieces == self._writes[-1].pieces if call in IN_PIECES else kill.side == "after"
        return self._until_exit

    def _is_at(self, kill: Point) -> bool:
        if not self._writes:
            return False
        return self._writes[-1][:2] == kill[:2] or (not kill.label and len(self._writes) == kill.ordinal)

    def _end(self) -> None:
        self._killed = True
        self._until_exit = False
        os.kill(self._pid, signal.SIGKILL)

    def _call(self, task: int) -> tuple[str, str | None]:
        """Return which call it is, and the label of what it writes to."""
        found = ctypes.create_string_buffer(96)
        if _libc.ptrace(SYSCALL_INFO, task, len(found), ctypes.addressof(found)) < 0:
            return "", None
        number, *arguments = struct.unpack_from("7Q", found.raw, 24)
        call, how = NAMES[number]
        if how.endswith("descriptor"):
            path = _readlink(f"/proc/{task}/fd/{arguments[2 if how.startswith('second') else 0] & 0x7FFFFFFF}")
        else:
            path = _text(task, arguments[1 if how == "path in a folder" else 0])
            if not path.startswith("/"):
                base = arguments[0] & 0xFFFFFFFF if how == "path in a folder" else 0xFFFFFF9C
                path = f"{_readlink(f'/proc/{task}/' + ('cwd' if base == 0xFFFFFF9C else f'fd/{base}'))}/{path}"
        named = self._name(path) if path.startswith("/") else None
        if named is None:
            return call, None
        event = EVENT.search(_read(task, arguments[1], LINE)) if call == "write" else None
        return call, f"{call} {event[1].decode() + ' to ' if event else ''}{named}"


def _ptrace(request: int, task: int, extra: int) -> None:
    if _libc.ptrace(request, task, None, extra):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _worked(task: int) -> bool:
    """Say whether the call that *task* comes out of did what it was to do."""
    found = ctypes.create_string_buffer(96)
    _libc.ptrace(SYSCALL_INFO, task, len(found), ctypes.addressof(found))
    return not found.raw[32]


def _process_of(task: int) -> int:
    """Return the process that *task*, which may be a thread, belongs to."""
    return int(re.search(r"Tgid:\s+(\d+)", Path(f"/proc/{task}/status").read_text())[1])


def _readlink(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""


def _read(task: int, address: int, size: int) -> bytes:
    memory = os.open(f"/proc/{task}/mem", os.O_RDONLY)
    try:
        return os.pread(memory, size, address)
    except OSError:
        return b""
    finally:
        os.close(memory)


def _text(task: int, address: int) -> str:
    """Return the text at *address*, up to its NUL; read in steps that do not go over the end of a page."""
    found = b""
    while b"\0" not in found:
        more = _read(task, address + len(found), 256 - (address + len(found)) % 256)
        if not more:
            return ""
        found += more
    return os.fsdecode(found.partition(b"\0")[0])
