"""What is installed is what is in the folders: nothing forgotten, nothing too much."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("wheel")

SHIPPED = {".py", ".yml", ".json", ".lua", ".md", ".html", ".css", ".js", ".svg"}
FOLDERS = ("sched", "telemetry", "dashboards", "alerts")


def build_wheel(source: Path, out: Path) -> Path:
    """Build source -> sdist -> wheel. Not isolated, so that no network is needed."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
    return next(out.glob("*.whl"))


def copy_of(root: Path, to: Path) -> Path:
    """Copy what a clean clone has, links as links."""
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "*.db*")
    return Path(shutil.copytree(root, to, symlinks=True, ignore=unwanted))


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def expected_names(root: Path) -> set[str]:
    """Return what a complete wheel holds, found without asking pyproject.toml."""
    names = {"tickglass/py.typed"}
    for base, package in [
        (root / "src/tickglass", "tickglass"),
        *((root / name, f"tickglass/{name}") for name in FOLDERS),
    ]:
        for file in base.rglob("*"):
            inside = file.relative_to(base)
            linked = base.name == "tickglass" and inside.parts[0] in FOLDERS
            if file.suffix in SHIPPED and "__pycache__" not in inside.parts and not linked:
                names.add(f"{package}/{inside.as_posix()}")
    return names


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("wheel")
    return build_wheel(copy_of(root, home / "source"), home / "dist")


def test_the_wheel_holds_every_file_of_the_folders_and_nothing_else(wheel: Path, root: Path) -> None:
    held, expected = names_in(wheel), expected_names(root)
    assert sorted(expected - held) == [], "forgotten in pyproject.toml, [tool.setuptools]"
    assert sorted(held - expected) == []


def test_a_package_forgotten_in_pyproject_is_missing_from_the_wheel(root: Path, tmp_path: Path) -> None:
    source = copy_of(root, tmp_path / "source")
    pyproject = source / "pyproject.toml"
    text = pyproject.read_text()
    assert '  "tickglass.sched.stores",\n' in text
    pyproject.write_text(text.replace('  "tickglass.sched.stores",\n', ""))
    missing = expected_names(root) - names_in(build_wheel(source, tmp_path / "dist"))
    assert "tickglass/sched/stores/__init__.py" in missing


def test_the_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    # The dependencies come from here: no network. The editable install in the same
    # place stays unseen, for it hangs on a .pth file and those count in site folders only.
    environment = os.environ | {"PYTHONSAFEPATH": "1", "PYTHONPATH": sysconfig.get_path("purelib")}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    where = "import tickglass.sched.stores as stores, tickglass; print(tickglass.__file__, stores.__file__)"
    for module in run(python, "-c", where).split():
        assert Path(module).is_relative_to(home), module
    assert run(home / "bin/tickglass", "--version").startswith("tickglass, version ")


def test_the_links_for_type_checkers_are_relative_and_lead_to_the_folders(root: Path) -> None:
    for folder in FOLDERS:
        if (root / folder).is_dir():
            link = root / "src/tickglass" / folder
            assert link.is_symlink(), f"src/tickglass/{folder} is missing"
            assert link.readlink() == Path("../..", folder)
