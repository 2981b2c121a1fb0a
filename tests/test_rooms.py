import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = {"errors", "clock", "samples", "events"}
BELOW = {
    "errors": set(),
    "clock": set(),
    "samples": set(),
    "events": {"clock"},
    "config": GROUND,
    "store": {"config.model", *GROUND},
    "measure": {"store", "config", *GROUND},
    "act": {"store", "config", *GROUND},
    "decide": {"config.model", "config.duration", "errors", "samples"},  # pure: neither clock, database nor log
    "engine": {"__init__", "act", "measure", "decide", "store", "config", *GROUND},
    "report": {"store", "config", *GROUND},
    "cli": {"__init__", "engine", "report", "act", "measure", "decide", "store", "config", *GROUND},
    "__init__": set(),
    "__main__": {"cli"},
}
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.glob("runner/**/*.py"))}


def imports(module):
    """Return every module of ours that *module* imports, inside functions and TYPE_CHECKING blocks too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = {name if name in MODULES else name.rpartition(".")[0] for name in found if name.startswith("runner.")}
    return {f"{name}.__init__" if f"{name}.__init__" in MODULES else name for name in ours}


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_from_rooms_below_it(module):
    room = module.split(".")[1]
    others = {name.removeprefix("runner.") for name in imports(module) if name.split(".")[1] != room}

    assert set() == {name for name in others if not {name, name.split(".")[0]} & BELOW[room]}


def test_every_room_has_its_place():
    assert set(BELOW) == {module.split(".")[1] for module in MODULES}


def test_no_module_imports_itself_in_a_circle():
    assert set(MODULES) == set(TopologicalSorter({module: imports(module) for module in MODULES}).static_order())


def test_a_report_only_reads():
    writing = {"execute", "execute_many", "transaction", "Lock", "Changes"}
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for module, path in MODULES.items()
        if module.startswith("runner.report.")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
    }

    assert set() == used & writing
