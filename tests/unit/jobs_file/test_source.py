"""A key is found at its line, however the TOML is written."""

from __future__ import annotations

import pytest

from tickglass.jobs_file.source import Keys, Source
from tickglass.sched.errors import ConfigError

TEXT = '''# a comment with jobs.nightly = 1
defaults.timeout = "10m"

[jobs.nightly]
command = """
ttl = "30s"
[jobs.fake]
"""
"ttl" = "30s"
arguments = { region = "eu", deep = { er = 1 } }

[jobs."a.b"] # quoted
words = [
  "x",
  "y",
]
after = 1
[jobs.third.arguments]
at = 2
'''


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("defaults",), 2),
        (("defaults", "timeout"), 2),
        (("jobs",), 4),
        (("jobs", "nightly"), 4),
        (("jobs", "nightly", "command"), 5),
        (("jobs", "nightly", "ttl"), 9),
        (("jobs", "nightly", "arguments", "deep", "er"), 10),
        (("jobs", "nightly", "trigger"), 4),  # not there: its table
        (("jobs", "a.b"), 12),
        (("jobs", "a.b", "words"), 13),
        (("jobs", "a.b", "after"), 17),
        (("jobs", "third"), 18),
        (("jobs", "third", "arguments", "at"), 19),
        (("nowhere",), 1),
    ],
)
def test_a_key_is_found_at_its_line(keys: Keys, line: int) -> None:
    assert Source("jobs.toml", TEXT).line_of(keys) == line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = \n", "jobs.toml:2: this is not TOML: Invalid value\n    b ="),
        ("a = 1\n[x\n\n", "jobs.toml:2: this is not TOML: "),
        ('a = """\n\n', "jobs.toml:1: this is not TOML: "),
        ("a = 1\na = 2\n", "jobs.toml:2: this is not TOML: Cannot overwrite a value\n    a = 2"),
    ],
)
def test_what_is_no_toml_is_refused_at_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Source("jobs.toml", text).parsed()
    assert str(refused.value).startswith(message)


def test_an_error_marks_the_last_place_of_the_words_because_a_value_comes_behind_its_key() -> None:
    error = Source("jobs.toml", '  ttl = "ttl"\n').wrong(("ttl",), "no", marked="ttl")
    assert str(error) == 'jobs.toml:1: no\n    ttl = "ttl"\n' + " " * 11 + "^^^"
