import pytest

from runner.config.secret import masked, without_secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///rollout.db", "sqlite:///rollout.db"),
        ("sqlite:////srv/app.db?key=s3cret", "sqlite:////srv/app.db"),
        (
            "https://user:s3cret@odds.example:8443/a/{sport}?key=s3cret#s3cret",
            "https://user:***@odds.example:8443/a/{sport}",
        ),
        ("https://user@odds.example/", "https://user@odds.example/"),
        ("${DRAFTKINGS_URL:-}", "${DRAFTKINGS_URL:-}"),
        ("https://${USER}:${PASSWORD}@odds.example/", "https://${USER}:***@odds.example/"),
        ("https://odds.example:port/s3cret", "***"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_what_may_be_secret(url, shown):
    assert shown == masked(url)


def test_what_is_stored_of_a_config_holds_no_literal_secret():
    declared = {
        "rollout": {"environments": {"p": {"database": "sqlite:///a.db?key=s3cret", "speed": 2}}},
        "providers": {
            "providers": [
                {"name": "a", "endpoint": "https://u:s3cret@h/?k=s3cret", "headers": {"X": "s3cret", "Y": "${TOKEN}"}},
                {"name": "b"},
            ]
        },
        "caches": {"types": {}},
    }
    stored = without_secrets(declared)

    assert "s3cret" not in str(stored)
    assert {"X": "***", "Y": "${TOKEN}"} == stored["providers"]["providers"][0]["headers"]
    assert {"name": "b"} == stored["providers"]["providers"][1]
    assert "s3cret" in str(declared), "what was declared is left as it is"
