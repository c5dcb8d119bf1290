"""Only declared modules are imported, and a target that is not there fails alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from tickglass.jobs_file.targets import NotImported, TargetImports, checked_prefixes, is_under
from tickglass.sched.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("module", "allowed"),
    [("billing", True), ("billing.jobs", True), ("billing.a.b", True), ("billingx", False), ("os", False)],
)
@pytest.mark.parametrize("prefix", ["billing.", "billing"])
def test_a_prefix_allows_a_module_and_those_in_it(module: str, allowed: bool, prefix: str) -> None:  # noqa: FBT001 - a column
    assert is_under(module, checked_prefixes(["labels", prefix])) is allowed
    assert not is_under(module, checked_prefixes(()))


@pytest.mark.parametrize("targets", ["billing.", [""], ["."], ["a b"], ["a..b"], [3]])
def test_what_is_no_module_is_no_prefix(targets: Any) -> None:  # noqa: ANN401 - wrong on purpose
    with pytest.raises(ConfigError):
        checked_prefixes(targets)


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("broken_jobs:work", "SystemExit: 3"),
        ("no_such_jobs:work", "ModuleNotFoundError: No module named 'no_such_jobs'"),
        ("whole_jobs:wrok", r"whole_jobs has no function wrok \(work\?\)"),
        ("whole_jobs:limit", "limit is a int, not a function"),
    ],
)
def test_a_target_that_is_not_there_is_logged_once_and_fails_in_each_call(
    target: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken_jobs.py").write_text("import sys\nsys.exit(3)\n")
    (tmp_path / "whole_jobs.py").write_text("limit = 3\ndef work(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = TargetImports().function(target, "nightly")
    monkeypatch.delitem(sys.modules, "whole_jobs", raising=False)
    assert isinstance(found, NotImported)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert f"the target {target} of job nightly cannot be imported: each of its runs fails" in caplog.text
    for _ in range(2):
        with pytest.raises(ImportError, match=f"{target}: {why}"):
            found(region="eu")


def test_a_module_that_cannot_be_imported_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "once_jobs.py").write_text(
        "from pathlib import Path\nPath('tried').touch(exist_ok=False)\nraise RuntimeError('no')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    imports = TargetImports()
    for job in ("a", "b"):
        with pytest.raises(ImportError, match="RuntimeError: no"):
            imports.function("once_jobs:work", job)()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
