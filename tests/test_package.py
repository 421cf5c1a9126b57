"""The project as a package: what it declares, what a wheel holds, and that it runs anywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import Image

from engine import __version__
from engine.cli.main import main
from engine.common import program
from engine.config import REPOSITORY, Settings, child_command, child_environment
from engine.weights.identify import identify

pytestmark = pytest.mark.integration
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
PACKAGES = ("dashboard", "db", "engine")


def pinned() -> dict[str, str]:
    """The exact versions of requirements.txt."""
    lines = (REPOSITORY / "requirements.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_ranges_of_the_package_hold_what_is_tested() -> None:
    ranges = {r.name: r.specifier for r in map(Requirement, PROJECT["dependencies"])}
    assert set(ranges) == set(pinned()) - {"setuptools"}
    for name, allowed in ranges.items():
        assert pinned()[name] in allowed, name


def test_the_version_is_in_one_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert "version" in PROJECT["dynamic"]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"senet {__version__}\n"


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("/x/bin/senet", "senet"),
        ("/x/engine/__main__.py", "python -m engine"),
        ("/x/bin/streamlit", None),
    ],
)
def test_texts_name_the_program_as_it_was_called(
    called: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = shutil.which("senet", path=Path(sys.executable).parent)
    monkeypatch.setattr(sys, "argv", [called])
    program.program.cache_clear()
    assert program.program() == (name or ("senet" if installed else "python -m engine"))
    program.program.cache_clear()


def test_children_find_the_package_beside_another_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    monkeypatch.chdir(tmp_path)
    assert identify(None, guesses=["seresnet50"]).error is None
    call = child_command("engine", "--version")
    done = subprocess.run(call, env=child_environment(), capture_output=True, text=True, check=True)
    assert done.stdout == f"senet {__version__}\n"


def test_a_checkout_keeps_its_data_in_var(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SENET_HOME")
    monkeypatch.chdir(tmp_path)
    assert Settings().home == REPOSITORY / "var"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a wheel of this checkout holds, as in site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--no-cache-dir"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(source)],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site-packages")
    shutil.rmtree(source)
    return folder / "site-packages"


def files_of(root: Path, package: str) -> set[str]:
    found = (root / package).rglob("*")
    return {str(p.relative_to(root)) for p in found if p.is_file() and p.suffix != ".pyc"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_wheel_holds_every_file_of_the_packages(installed: Path, package: str) -> None:
    assert files_of(installed, package) == files_of(REPOSITORY, package)


def test_a_wheel_declares_the_command(installed: Path) -> None:
    (about,) = installed.glob("senet_workbench-*.dist-info")
    assert "senet = engine.cli.main:main" in (about / "entry_points.txt").read_text().splitlines()
    assert f"Version: {__version__}" in (about / "METADATA").read_text().splitlines()


def test_an_installed_wheel_runs_jobs_from_any_folder(installed: Path, tmp_path: Path) -> None:
    """Settings, migrations, the catalogue, the dispatcher and its jobs, outside of the checkout."""
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), (90 * number, 9, 9)).save(tmp_path / "images" / name / "1.png")
    kept = ("PATH", "SENET_HOST_LOCK", "SENET_OFFLINE", "SENET_IDLE_S", "SENET_PEAK")
    environment = {name: os.environ[name] for name in kept}
    environment |= {"PYTHONPATH": str(installed), "XDG_DATA_HOME": str(tmp_path / "data")}
    code = "import sys; from engine.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "dataset", "add", "two", "images", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "succeeded"
    assert (tmp_path / "data" / "senet" / "var" / "senet.db").is_file()
    assert not list(installed.rglob("var"))
