"""The shared store: what one home wrote another reads, whole and verified, or with a sentence."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.enums import WeightsKind
from engine.catalog.models import CatalogModel
from engine.common.digests import file_digest
from engine.config import settings
from engine.errors import CheckpointRejected, StorageFull, StoreDamaged, StoreUnavailable
from engine.specs import WeightsSpec
from engine.store import artifacts, shared
from engine.store.objects import ObjectStore, shared_store
from engine.weights.lookup import find_weights, share_file
from tests.support.tiny import store_build, tiny_se_model

UseHome = Callable[[str], Path]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server of this run of the tests."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ObjectStore:
    """SENET_STORE as a folder, and as a bucket."""
    url = f"file://{tmp_path}/store"
    if request.param == "s3":
        for name, value in {
            "AWS_ENDPOINT_URL": request.getfixturevalue("s3_server"),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        url = f"s3://bucket/{tmp_path.name}"
        import s3fs

        server = s3fs.S3FileSystem()
        if not server.exists("bucket"):
            server.mkdir("bucket")
    monkeypatch.setenv("SENET_STORE", url)
    settings.cache_clear()
    found = shared_store()
    assert found is not None
    return found


@pytest.fixture
def use_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> UseHome:
    """Makes another folder the home, as on another machine."""

    def use(name: str) -> Path:
        monkeypatch.setenv("SENET_HOME", str(tmp_path / name))
        settings.cache_clear()
        return settings().home

    return use


def written(home: Path, name: str, content: str) -> Path:
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def in_the_store(store: ObjectStore, name: str) -> list[str]:
    return [one.name for one in store.files(name)]


def replace(store: ObjectStore, name: str, content: str) -> None:
    store.remove(name)
    store.put_text(name, content)


def test_a_file_of_one_home_arrives_in_another(store: ObjectStore, use_home: UseHome) -> None:
    path = written(use_home("a"), "results/x.npz", "figures")
    shared.publish(path)
    shared.publish(path)
    assert len(in_the_store(store, "results")) == 1, "an equal file is uploaded once"
    there = use_home("b") / "results" / "x.npz"
    assert shared.fetch(there)
    assert there.read_text() == "figures"
    assert not shared.fetch(there.with_name("never"))
    assert list((use_home("b") / "tmp").iterdir()) == []


def test_the_newest_of_two_versions_is_fetched(store: ObjectStore, use_home: UseHome) -> None:
    shared.publish(written(use_home("a"), "weights/r.json", "first"))
    if store.is_folder:
        os.utime(next(Path(store.url.removeprefix("file://")).rglob("*/r.json/*")), (1, 1))
    shared.publish(written(use_home("a"), "weights/r.json", "second, longer"))
    there = use_home("b") / "weights" / "r.json"
    found = {one.modified for one in store.files("weights/r.json")}
    if len(found) == 2:  # S3 tells whole seconds
        assert shared.fetch(there)
        assert there.read_text() == "second, longer"


def test_a_damaged_file_is_set_aside_and_uploaded_again(
    store: ObjectStore, use_home: UseHome
) -> None:
    path = written(use_home("a"), "results/x.npz", "figures")
    shared.publish(path)
    (name,) = in_the_store(store, "results")
    replace(store, name, "other figures")
    there = use_home("b") / "results" / "x.npz"
    with pytest.raises(StoreDamaged, match=r"results/x.npz/.* is damaged.*`store push`"):
        shared.fetch(there)
    assert not there.exists()
    assert in_the_store(store, "results") == []
    assert len(in_the_store(store, "damaged")) == 1
    use_home("a")
    shared.publish(path)
    use_home("b")
    assert shared.fetch(there)


def test_an_artifact_arrives_whole(store: ObjectStore, url: str, use_home: UseHome) -> None:
    made = store_build(url, tiny_se_model())
    here = artifacts.folder_of(made.digest)
    names = {path.name for path in here.iterdir()}
    use_home("b")
    assert artifacts.is_stored(made.digest)
    assert not (settings().home / "artifacts" / made.digest).exists(), "asking fetches nothing"
    found = artifacts.find_by_recipe(made.recipe, url)
    assert found is not None
    there = artifacts.folder_of(found.digest)
    assert there.parent.parent == settings().home
    assert {path.name for path in there.iterdir()} == names
    assert artifacts.model_path(made.digest).read_bytes() == (here / "model.onnx").read_bytes()


@pytest.mark.parametrize("victim", ["model.onnx", "files.json"])
def test_a_damaged_artifact_counts_as_absent(
    victim: str, store: ObjectStore, url: str, use_home: UseHome, capsys: pytest.CaptureFixture[str]
) -> None:
    made = store_build(url, tiny_se_model())
    here = artifacts.folder_of(made.digest)
    replace(store, f"artifacts/{made.digest}/{victim}", "{}")
    use_home("b")
    with pytest.raises(StoreDamaged, match=f"{victim} in the store .* is damaged"):
        artifacts.model_path(made.digest)
    assert artifacts.find_by_recipe(made.recipe, url) is None
    shared.publish_artifact(here)  # by the home that has it
    assert artifacts.find_by_recipe(made.recipe, url) is not None


def test_an_upload_that_was_cut_is_never_seen(
    store: ObjectStore, url: str, use_home: UseHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither an artifact without its last file nor a part of a file."""
    put = ObjectStore.put

    def dying(self: ObjectStore, source: Path, name: str) -> None:
        if name.endswith("model.onnx"):
            raise KeyboardInterrupt
        put(self, source, name)

    monkeypatch.setattr(ObjectStore, "put", dying)
    with pytest.raises(KeyboardInterrupt):
        store_build(url, tiny_se_model())
    (digest,) = (path.name for path in (settings().home / "artifacts").iterdir())
    here = artifacts.folder_of(digest)
    if store.is_folder:
        root = Path(store.url.removeprefix("file://"))
        (root / f"artifacts/{digest}/model.onnx.0a.part").write_bytes(b"half")
    use_home("b")
    assert not artifacts.is_stored(digest)
    assert not artifacts.folder_of(digest).exists()
    monkeypatch.setattr(ObjectStore, "put", put)
    shared.publish_artifact(here)
    assert artifacts.folder_of(digest).is_dir()
    assert not any(name.endswith(".part") for name in in_the_store(store, "artifacts"))


def test_a_weights_file_of_another_machine_is_found_by_its_digest(
    store: ObjectStore, use_home: UseHome, tmp_path: Path
) -> None:
    use_home("a")
    file = written(tmp_path, "mine/net.onnx", "weights")
    spec = WeightsSpec(kind=WeightsKind.FILE, path=str(file), sha256=file_digest(file))
    share_file(spec)
    file.unlink()
    model = CatalogModel(source="onnx", name="net", architecture="net")
    found = find_weights(model, spec, lambda done, total: None)
    assert found is not None
    assert found.path.is_relative_to(settings().home)
    assert found.path.read_text() == "weights"
    unknown = spec.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(CheckpointRejected, match="There is no weights file"):
        find_weights(model, unknown, lambda done, total: None)


def test_one_of_two_that_claim_a_name_gets_it(store: ObjectStore) -> None:
    assert [store.create_text("claims/one", text) for text in ("first", "second")] == [True, False]
    assert store.read_text("claims/one") == "first"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    store: ObjectStore, use_home: UseHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.publish(written(use_home("a"), "results/x.npz", "figures"))
    there = use_home("b") / "results" / "x.npz"

    def full(source: str, target: str) -> None:
        Path(target).write_text("fig")
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(store._fs, "get_file", full)
    with pytest.raises(StorageFull, match="The disk is full"):
        shared.fetch(there)
    assert not there.exists()
    assert list((use_home("b") / "tmp").iterdir()) == []


def test_a_result_outlives_a_store_that_fails(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SENET_STORE", f"file://{tmp_path}/file/store")
    settings.cache_clear()
    path = written(home, "results/x.npz", "figures")
    shared.publish_result(path)
    assert "x.npz is in this home only until `store push`" in capsys.readouterr().err
    with pytest.raises(StoreUnavailable, match="check SENET_STORE"):
        shared.publish(path)


def test_a_server_that_is_away_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_MAX_ATTEMPTS": "1",
        "SENET_STORE": "s3://bucket/away",
    }.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    with pytest.raises(StoreUnavailable, match="s3://bucket/away cannot be used"):
        shared.fetch(home / "results" / "x.npz")


@pytest.mark.parametrize("url", ["file://relative/folder", "http://x/y", "s3://", "folder"])
def test_what_is_no_store_says_what_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENET_STORE", url)
    settings.cache_clear()
    with pytest.raises(StoreUnavailable, match=r"which is no store: give file:///folder or s3://"):
        shared_store()


def test_without_a_store_nothing_of_it_is_loaded() -> None:
    program = (
        "import sys, pathlib; from engine.store import artifacts, shared\n"
        "artifacts.is_stored('0' * 64), shared.fetch(pathlib.Path('/nothing'))\n"
        "print(sorted({'fsspec', 's3fs', 'botocore'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_a_store_nothing_is_written(url: str, home: Path) -> None:
    made = store_build(url, tiny_se_model())
    folder = artifacts.folder_of(made.digest)
    shutil.rmtree(folder)
    assert artifacts.find_by_recipe(made.recipe, url) is None
    assert json.dumps(settings().store) == '""'
