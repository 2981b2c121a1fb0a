import pytest

from runner.store.rows import PortfolioRationale, ProviderState
from runner.store.tables import PORTFOLIO_RATIONALES, PROVIDER_STATES


@pytest.mark.parametrize(
    ("row", "table", "count"),
    [(ProviderState, PROVIDER_STATES, 22), (PortfolioRationale, PORTFOLIO_RATIONALES, 24)],
)
def test_a_row_has_the_columns_of_its_table_in_their_order(row, table, count, database):
    assert list(database.columns(table.name)) == list(row._fields)
    assert count == len(row._fields)


def test_the_roles_of_the_columns_are_declared_with_them():
    states, rationales = PROVIDER_STATES, PORTFOLIO_RATIONALES

    assert (("provider_name", "sport"), ("cache_key",)) == (states.key, rationales.key)
    assert ("poll_interval_seconds", "timeout_seconds", "max_retries", "capabilities") == states.seeded
    assert ("status", "is_enabled") == states.first == states.switched
    assert (11, "last_fetch_attempt", "last_prop_count") == (len(states.live), states.live[0], states.live[-1])
    assert (("provider_name", "providers", "name"), ("sport", "sports", "code")) == states.parents
    assert ("cache_type", "rationale_type", "data_json", "data_hash", "confidence") == rationales.seeded
    assert ("data_json", "data_hash", "confidence", "expires_at") == rationales.switched
    assert (("expires_at",), (), ()) == (rationales.first, rationales.live, rationales.parents)
    assert ("updated_at",) == states.bookkeeping == rationales.bookkeeping
