"""What is written is TOML with the same values, in the form that is easiest to read."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickglass.importing.jobs_text import Draft, Kept, Remark, imported, is_writable

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


def draft(**changed: object) -> Draft:
    return Draft(**{"name": "a", "line": 1, "trigger": 'every("1m")', "command": "x", **changed})  # type: ignore[arg-type]


@given(st.dictionaries(TEXT, VALUES), TEXT)
def test_every_value_is_read_back_as_it_was(arguments: dict[str, object], name: str) -> None:
    assert is_writable(arguments)
    found = imported([draft(name=name, settings={"arguments": arguments})], notes=())
    assert tomllib.loads(found.text)["jobs"][name]["arguments"] == arguments


@given(TEXT, TEXT)
def test_kept_text_and_remarks_are_comments_alone(text: str, remark: str) -> None:
    found = imported([Kept(line=1, text=text, remarks=(remark,)), draft()], notes=("note",), remarks=(remark,))
    assert list(tomllib.loads(found.text)) == ["jobs"]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("it's", '"it\'s"'),
        ('cron("a")', "'cron(\"a\")'"),
        ("a\\b", "'a\\b'"),
        ("a\nb\n", "'''\na\nb\n'''"),
        ("a\tb", '"a\\tb"'),
        ("both \" and '", '"both \\" and \'"'),
        ("\x7f", '"\\u007f"'),
        (True, "true"),
        (1.5, "1.5"),
        ((), "[]"),
        ({}, "{}"),
        ({"a b": ["c"]}, '{ "a b" = ["c"] }'),
    ],
)
def test_the_form_of_a_value_is_the_plainest(value: object, written: str) -> None:
    assert f"\narguments = {written}\n" in imported([draft(settings={"arguments": value})], notes=()).text


@pytest.mark.parametrize("value", [None, b"x", {1: 2}, [None], {"a": {"b": None}}, object()])
def test_what_toml_has_not_is_known(value: object) -> None:
    assert not is_writable(value)


def test_jobs_comments_and_remarks_are_counted() -> None:
    entries: list[Draft | Kept] = [
        Kept(line=1, text="# a comment"),
        Kept(line=2, text="X=1", remarks=("about X",)),
        Kept(line=3, text="odd", remarks=("about odd",), is_job=True),
        draft(line=4, remarks=("one", "two")),
    ]
    found = imported(entries, notes=(), remarks=("about all",))
    assert (found.jobs, found.kept) == (1, 1)
    assert found.remarks == (
        Remark(0, "about all"),
        Remark(2, "about X"),
        Remark(3, "about odd"),
        Remark(4, "one"),
        Remark(4, "two"),
    )
