from __future__ import annotations

import pytest

from dashboard.formats import (
    ago,
    duration,
    escape_markdown,
    message,
    number,
    plural,
    signed,
    significant,
    size,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](http://x)", r"\[a\]\(http\://x\)"),
        (":red[x] $y$ `z`", r"\:red\[x\] \$y\$ \`z\`"),
        ("# big\n\n<b>bold</b>", r"\# big \<b\>bold\</b\>"),
        ("plain name", "plain name"),
    ],
)
def test_user_text_is_no_markup(text: str, shown: str) -> None:
    assert escape_markdown(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Use `jobs list`; *not* this.", r"Use `jobs list`; \*not\* this\."),
        ("one ` alone [a](b)", r"one \` alone \[a\]\(b\)"),
        ("`a`:red[x]`b", r"`a`\:red\[x\]\`b"),
    ],
)
def test_only_commands_in_a_message_are_markup(text: str, shown: str) -> None:
    assert message(text) == shown


@pytest.mark.parametrize(
    ("value", "text"), [(1.25, "+1.2"), (-0.4, "−0.4"), (0.0, "0.0"), (-0.01, "0.0")]
)
def test_signs(value: float, text: str) -> None:
    assert signed(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123456, "0.0123"), (4.1364, "4.14"), (1234.5, "1,234"), (None, "–"), (0, "0")],
)
def test_three_significant_digits(value: float | None, text: str) -> None:
    assert significant(value) == text


def test_missing_is_a_dash_and_never_zero() -> None:
    assert number(None) == number(float("nan")) == "–"
    assert number(0) == "0.0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (125, "2 min 5 s"), (11_040, "3 h 4 min"), (None, "–")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_ages_sizes_and_plurals() -> None:
    assert [ago(1000, now=1000 + s) for s in (5, 300, 7200, 400_000)] == [
        "just now",
        "5 min ago",
        "2 h ago",
        "4 days ago",
    ]
    assert [size(n) for n in (12, 2_500, 2.9e6, 4.6e9)] == [
        "12 bytes",
        "2.5 kB",
        "2.9 MB",
        "4.6 GB",
    ]
    assert plural(1, "job") == "1 job"
    assert plural(1200, "job") == "1,200 jobs"
