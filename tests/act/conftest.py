"""Rows of the bundled tables, and passages through stages that switch them."""

import pytest
from ground import NOON

from runner.store.changes import Changes
from runner.store.ledger import Ledger


@pytest.fixture
def enter(database):
    """Enter a stage of one more run; return what records its changes, and its number."""
    ledger = Ledger(database)

    def enter():
        run = ledger.begin_run("r", "local", "sha256:1", {}, "full", "running", NOON)
        stage_id = ledger.enter_stage(run, "partial", "active", 3, "", {}, NOON).id
        return Changes(database, stage_id), stage_id

    return enter
