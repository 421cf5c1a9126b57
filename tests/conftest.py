"""What all tests share: their kinds, a home of their own, a fresh database, the real data.

The kinds are markers, given here: `browser` by the folder, `real` by the fixtures that need real
data, `integration` to what needs a database, `unit` to all the rest. A module, class or test says
`integration`, `serial` or `slow` for itself where that is not seen from its fixtures.

A test marked `databases` runs twice: on SQLite, and on a PostgreSQL server that the tests start;
one marked `databases("postgresql")` on that alone.
"""

from __future__ import annotations

import os
import pickle
import uuid

if "PYTEST_XDIST_WORKER" in os.environ:  # workers share the cores: no pool of threads in each
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(_name, "1")

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.config import settings
from engine.hosts import ownership
from engine.store.database import prepare_database
from tests.support.homes import copy_of, new_identity, own_home
from tests.support.postgresql import Server, find_programs, running_server

if TYPE_CHECKING:
    from engine.datasets.registration import CheckedDataset

BROWSER = Path(__file__).parent / "browser"
DATABASE = {"url", "template_home"}
LONG_FILE = "test_fuzz.py"  # a minute of computing, as few others
NOT_UNIT = ("integration", "browser", "real", "slow", "serial")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gives each test the marker of its kind, and puts the longest files first."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if BROWSER in item.path.parents:
            item.add_marker("browser")
        if "real_data" in fixtures:
            item.add_marker("real")
        if fixtures & DATABASE or any(item.get_closest_marker(n) for n in ("browser", "serial")):
            item.add_marker("integration")
        if not any(item.get_closest_marker(name) for name in NOT_UNIT):
            item.add_marker("unit")
    long = {item.path for item in items if any(map(item.get_closest_marker, ("browser", "real")))}
    items.sort(key=lambda item: item.path not in long and item.path.name != LONG_FILE)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """SENET_HOME and the host lock in a temporary folder; settings are read anew."""
    with own_home(tmp_path / "home", monkeypatch) as folder:
        yield folder


@pytest.fixture(scope="session")
def template_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database was migrated once, to be copied."""
    with own_home(tmp_path_factory.mktemp("template") / "home") as folder:
        prepare_database()
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server with a migrated database `template`; skipped where none is installed."""
    programs = find_programs()
    if programs is None:
        assert "CI" not in os.environ, "CI installs PostgreSQL"
        pytest.skip("PostgreSQL is not installed")
    with running_server(programs) as server:
        _migrate_template(server)
        yield server


def _migrate_template(server: Server) -> None:
    url = server.create("template")
    with pytest.MonkeyPatch.context() as patch, own_home(server.folder / "home", patch):
        patch.setenv("DATABASE_URL", url)
        settings.cache_clear()
        prepare_database()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests marked `databases` on those that are named, or on both."""
    marker = metafunc.definition.get_closest_marker("databases")
    if marker:
        names = marker.args or ("sqlite", "postgresql")
        metafunc.parametrize("database", names, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The database that `url` names: SQLite, if the test does not say otherwise."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def url(
    database: str,
    template_home: Path,
    home: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A migrated database with the catalog in it, owned by the test's own home."""
    if database == "sqlite":
        return copy_of(template_home, home)
    server: Server = request.getfixturevalue("postgresql")
    monkeypatch.setenv("DATABASE_URL", server.create(f"t{uuid.uuid4().hex}", "template"))
    settings.cache_clear()
    home.mkdir(parents=True, exist_ok=True)
    ownership.claim(new_identity(), settings().url)
    return settings().url


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs and weights; the test is skipped where there is none."""
    folder = os.environ.get("SENET_REAL_DATA")
    if not folder:
        pytest.skip("SENET_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def checked_photographs(shared_folder: Path) -> CheckedDataset:
    """The 1,000 photographs, each decoded once for all tests."""
    from filelock import FileLock

    from engine.datasets.registration import check_folder

    kept = shared_folder / "photographs.pickle"
    with FileLock(kept.with_suffix(".lock")):
        if not kept.exists():
            folder = Path(os.environ["SENET_REAL_DATA"]) / "imagenet_1000"
            kept.write_bytes(pickle.dumps(check_folder(folder, None, lambda done, n: None)))
        return pickle.loads(kept.read_bytes())


@pytest.fixture(scope="session")
def se_network_home(real_data: Path, shared_folder: Path) -> Path:
    """A migrated home with the real SE network exported and built in fp32, once for all tests."""
    from filelock import FileLock

    from tests.support.real_photographs import build_se_network

    work = shared_folder / "se_network"
    with FileLock(work.with_suffix(".lock")):
        if not work.exists():
            partial = work.with_suffix(".partial")
            with own_home(partial / "home"):
                build_se_network(prepare_database(), partial, real_data)
            partial.rename(work)
    return work / "home"


@pytest.fixture
def photographs(
    url: str, home: Path, real_data: Path, shared_folder: Path, request: pytest.FixtureRequest
) -> str:
    """Name of the registered dataset of the 1,000 photographs.

    The preprocessed ones are cached for all tests, not for each home.
    """
    from engine.datasets.registration import register

    register("in1k", request.getfixturevalue("checked_photographs"), url)
    pixels = shared_folder / "pixels"
    pixels.mkdir(exist_ok=True)
    (home / "cache").mkdir(exist_ok=True)
    (home / "cache" / "pixels").symlink_to(pixels)
    return "in1k"
