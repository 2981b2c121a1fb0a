import pytest

from runner.config.duration import seconds


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("30s", 30),
        ("10m", 600),
        ("1h30m", 5400),
        ("1500ms", 1.5),
        ("2d", 172_800),
        ("1d2h3m4s5ms", 93_784.005),
        ("100ms", 0.1),
    ],
)
def test_a_duration_is_read_in_its_units(text, expected_s):
    assert expected_s == seconds(text)


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "0s", "-5s", "1.5s", "30 s", "30S", "5m1h", "1s1s", "30s\n", "1e3s", "99999999999999999999d", "٣s"],
)
def test_what_is_not_clearly_a_duration_is_refused(text):
    with pytest.raises(ValueError, match="is not a duration"):
        seconds(text)
