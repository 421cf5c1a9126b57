"""No field of a request is lost on New run: by a clone, by an error, by leaving the page."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import Any

import onnx
import pytest
from sqlalchemy import select
from streamlit.testing.v1 import AppTest

from dashboard.components.common.typed_paths import require_allowed
from dashboard.components.datasets.add_form import checked_spec
from dashboard.components.run_form import prefill
from dashboard.components.run_form.controls import PREFILLED_FIELDS
from dashboard.components.run_form.prefill import widget_values
from db.models import Run
from db.session import reading
from engine.catalog.models import catalog
from engine.config import settings
from engine.errors import InvalidRequest
from engine.runs.fields import FIELDS
from engine.runs.plan import Plan
from engine.runs.request import DEMO, RunRequest
from engine.runs.submit import submit
from tests.support import rows
from tests.support.pages import at, opened, plain_texts
from tests.support.requests import OTHER_VALUES
from tests.support.tiny import tiny_se_model

MODELS = ("ppcls/seresnet18", "timm/ese_vovnet19b_dw", "onnx/own name", "demo/senet")
SCENARIO = ("scenario", "limit_ms", "rate_per_s")  # which belong together


def requests() -> list[RunRequest]:
    """As few as hold every value of every field, for each source of models in turn."""
    alone = {name: v for name, v in OTHER_VALUES.items() if name not in (*SCENARIO, "weights")}
    found = []
    for place, values in enumerate(zip_longest(*alone.values())):
        given = {n: v for n, v in zip(alone, values, strict=True) if v is not None}
        found.append({"model_id": MODELS[place % len(MODELS)], **given})
    for place, scenario in enumerate(OTHER_VALUES["scenario"]):
        found[place]["scenario"] = scenario
        if scenario == "server":
            found[place] |= {name: OTHER_VALUES[name][0] for name in SCENARIO[1:]}
    for place, weights in enumerate(OTHER_VALUES["weights"]):
        found[place * 3 % 5 if place else 3]["weights"] = weights
    for given in found:
        if given["model_id"].startswith("onnx/"):
            given["weights"] = {"kind": "file", "path": "/models/net.onnx"}
    found += [{"model_id": MODELS[1], "weights": w} for w in OTHER_VALUES["weights"]]
    return [RunRequest.model_validate(given) for given in (*found, {"model_id": MODELS[0]})]


REQUESTS = [*requests(), DEMO]


def test_every_field_and_value_is_carried() -> None:
    for name, values in OTHER_VALUES.items():
        for value in values:
            wanted = getattr(RunRequest.model_validate({"model_id": "x", name: value}), name)
            assert any(getattr(one, name) == wanted for one in REQUESTS), (name, value)
    carried = {n for n in RunRequest.model_fields if not FIELDS[n].derived and n != "model_id"}
    assert carried == set(OTHER_VALUES)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunRequest]:
    """What New run asks the plan for, the last at the end; nothing can be queued."""
    caught: list[RunRequest] = []

    def plan(request: RunRequest, url: str) -> Plan:
        caught.append(request)
        return Plan((), ("Only looked at.",), ())

    monkeypatch.setattr("engine.runs.plan.plan", plan)
    return caught


def cloned(request: dict[str, Any]) -> AppTest:
    """New run as the button of a run's page opens it."""
    app = at("new_run")
    app.session_state[prefill.REQUEST_KEY] = request
    return app.run()


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_form_asks_for_what_it_was_filled_with(
    url: str, request_: RunRequest, asked: list[RunRequest]
) -> None:
    app = cloned(request_.to_json())
    assert not app.exception
    assert asked, plain_texts(app)
    assert asked[-1].to_json() == request_.to_json()
    app.toggle(key="again").set_value(not request_.again).run()
    assert asked[-1] == request_.model_copy(update={"again": not request_.again})


def test_a_clone_leaves_nothing_of_the_one_before(url: str, asked: list[RunRequest]) -> None:
    app = cloned(REQUESTS[0].to_json())
    for request in (REQUESTS[4], RunRequest(model_id="ppcls/seresnet18")):
        app.switch_page("app_pages/jobs.py").run()
        app.session_state[prefill.REQUEST_KEY] = request.to_json()
        app.switch_page("app_pages/new_run.py").run()
        assert asked[-1] == request


def test_a_stored_run_and_its_clone_are_equal(url: str, tmp_path: Path) -> None:
    onnx.save(tiny_se_model(), tmp_path / "net.onnx")
    weights = {"kind": "random", "seed": 7}
    rows.add_dataset(url, "train")
    build = {"calibration_dataset": "train", "calibration_mode": "percentile", "softmax": True}
    network = {"kind": "file", "path": str(tmp_path / "net.onnx")}
    outputs = {"background": 3, "preprocess": {"crop": 192}, "output": "scores"}
    for given in (
        {"model_id": "timm/ese_vovnet19b_dw", "weights": weights, "tasks": ("benchmark",), **build},
        {"model_id": "onnx/named", "weights": network, "tasks": ("build",), **outputs},
    ):
        first = submit(RunRequest.model_validate(given), url)
        with reading(url) as session:
            app = cloned(session.get_one(Run, first).request)
        assert not app.button(key="queue").disabled, plain_texts(app)
        app.button(key="queue").click().run()
        with reading(url) as session:
            stored = {run.id: run.request for run in session.scalars(select(Run))}
        assert max(stored) > first, plain_texts(app)
        assert stored[max(stored)] == stored[first]


def test_a_dataset_that_is_gone_stops_the_clone_with_a_sentence(url: str) -> None:
    request = RunRequest(model_id="ppcls/seresnet18", dataset="gone")
    app = cloned(request.to_json())
    assert "There is no dataset 'gone' to evaluate on" in plain_texts(app)
    assert app.button(key="queue").disabled


def test_what_was_typed_is_there_after_another_page(url: str, asked: list[RunRequest]) -> None:
    request = REQUESTS[2]
    assert request.model_id == "onnx/own name"
    app = cloned(request.to_json())
    app.text_input(key="onnx_name").set_value("typed")
    app.number_input(key="limit").set_value(99).run()
    before = asked[-1]
    assert (before.model_id, before.limit) == ("onnx/typed", 99)
    app.switch_page("app_pages/jobs.py").run()
    app.switch_page("app_pages/new_run.py").run()
    assert asked[-1] == before
    app.button_group(key="from").set_value("Catalog").run()
    app.button_group(key="from").set_value("ONNX file").run()
    assert asked[-1] == before


def test_an_error_loses_nothing_that_comes_after_it(url: str, asked: list[RunRequest]) -> None:
    app = opened("new_run")
    app.button_group(key="from").set_value("ONNX file").run()
    app.text_input(key="onnx_path").set_value("/models/net.onnx")
    app.toggle(key="own_preprocessing").set_value(True).run()
    app.number_input(key="background").set_value(3)
    app.text_input(key="pre_mean").set_value("0.5 half").run()
    seen = len(asked)
    assert "Mean must be three numbers" in plain_texts(app)
    app.text_input(key="output").set_value("scores")
    app.text_input(key="pre_std").set_value("0.5").run()
    said = plain_texts(app)
    assert len(asked) == seen
    assert "Mean must be three numbers" in said
    assert "Std must be three numbers" in said
    app.text_input(key="pre_mean").set_value("0.5 0.5 0.5")
    app.text_input(key="pre_std").set_value("0.5 0.5 0.5").run()
    found = asked[-1]
    assert (found.background, found.output) == (3, "scores")
    assert found.preprocess == {"mean": [0.5] * 3, "std": [0.5] * 3}


def test_an_upload_is_a_path_that_stays(url: str, asked: list[RunRequest]) -> None:
    app = opened("new_run")
    app.button_group(key="from").set_value("ONNX file").run()
    app.file_uploader(key="onnx_upload").upload("net.onnx", b"bytes", "x").run()
    path = app.text_input(key="onnx_path").value
    assert Path(path).read_bytes() == b"bytes"
    app.switch_page("app_pages/jobs.py").run()
    app.switch_page("app_pages/new_run.py").run()
    assert app.text_input(key="onnx_path").value == path
    assert asked[-1].weights.path == path


def test_custom_preprocessing_needs_a_setting(url: str, asked: list[RunRequest]) -> None:
    app = opened("new_run")
    app.button_group(key="protocol").set_value("custom").run()
    assert "Custom preprocessing needs at least one setting: Resize" in plain_texts(app)
    app.number_input(key="pre_crop").set_value(192).run()
    assert asked[-1].preprocess == {"crop": 192}


def test_a_preset_fills_in_scale_mean_and_std(url: str, asked: list[RunRequest]) -> None:
    app = opened("new_run")
    app.button_group(key="protocol").set_value("custom").run()
    app.button_group(key="pre_normalization").set_value("[-1, 1]").run()
    assert asked[-1].preprocess == {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}


def test_only_what_was_asked_for_is_carried() -> None:
    assert widget_values(RunRequest(model_id="timm/x"))[PREFILLED_FIELDS] == ["model_id"]


def test_the_whole_catalog_is_one_request(url: str, asked: list[RunRequest]) -> None:
    app = opened("new_run")
    app.button_group(key="catalog_group").set_value("All 25")
    app.button_group(key="weights").set_value("Random").run()
    chosen = [model.model_id for model in asked[-1].models]
    assert sorted(chosen) == sorted(catalog())
    assert {model.weights.kind for model in asked[-1].models} == {"random"}
    app.multiselect(key="catalog_models").set_value(["ppcls/senet154", "timm/seresnet50"]).run()
    assert [m.model_id for m in asked[-1].models] == ["ppcls/senet154", "timm/seresnet50"]
    app.switch_page("app_pages/jobs.py").run()
    app.switch_page("app_pages/new_run.py").run()
    assert [m.model_id for m in asked[-1].models] == ["ppcls/senet154", "timm/seresnet50"]
    app.button_group(key="weights").set_value("From a file").run()
    assert "A weights file belongs to one model" in plain_texts(app)
    app.button_group(key="catalog_group").set_value("None").run()
    assert "Select a model: check rows of the table." in plain_texts(app)


@pytest.mark.parametrize(
    ("first", "others"),
    [
        ("timm/seresnet50", ({"model_id": "ppcls/senet154"},)),
        ("timm/resnet18", ({"model_id": "timm/resnet34"}, {"model_id": "ppcls/senet154"})),
        ("onnx/a", ({"model_id": "onnx/b", "weights": {"kind": "file", "path": "/m/b.onnx"}},
                    {"model_id": "onnx/c", "weights": {"kind": "file", "path": "/m/b.onnx"}})),
    ],
)  # fmt: skip
def test_all_models_are_carried_and_those_of_other_kinds_can_be_left_out(
    url: str, asked: list[RunRequest], first: str, others: tuple[dict[str, Any], ...]
) -> None:
    given: dict[str, Any] = {"model_id": first, "other_models": others}
    if first.startswith("onnx/"):
        given["weights"] = {"kind": "file", "path": "/m/a.onnx"}
    request = RunRequest.model_validate(given)
    app = cloned(request.to_json())
    assert asked[-1] == request
    if app.session_state["kept_models"]:
        app.multiselect(key="kept_models").set_value([]).run()
        assert len(asked[-1].models) == len(request.models) - 1


def test_several_onnx_files_are_several_models(
    url: str, asked: list[RunRequest], tmp_path: Path
) -> None:
    for name in ("b.onnx", "c.onnx", "readme.txt"):
        (tmp_path / name).write_bytes(b"x")
    app = opened("new_run")
    app.button_group(key="from").set_value("ONNX file").run()
    app.text_input(key="onnx_path").set_value("/models/b.onnx")
    app.text_area(key="onnx_more_paths").set_value(str(tmp_path)).run()
    assert "There is no such file: /models/b.onnx" in plain_texts(app)
    paths = ["/models/b.onnx", str(tmp_path / "b.onnx"), str(tmp_path / "c.onnx")]
    assert [m.weights.path for m in asked[-1].models] == paths
    assert [m.model_id for m in asked[-1].models] == ["onnx/b", "onnx/b-2", "onnx/c"]


def test_with_a_login_only_paths_in_the_data_roots_are_read(
    url: str, asked: list[RunRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.components.common.typed_paths.login.is_configured", lambda: True)
    monkeypatch.setenv("SENET_DATA_ROOTS", str(tmp_path))
    settings.cache_clear()
    outside, inside = "/etc/hostname", str(tmp_path / "net.onnx")
    (tmp_path / "link").symlink_to("/etc")
    for path in (outside, str(tmp_path / "link" / "hostname"), f"{tmp_path}/../x.onnx"):
        with pytest.raises(InvalidRequest, match="may not be read"):
            require_allowed(path)
    assert require_allowed(inside) == inside
    for given in ({"folder": "/etc"}, {"labels": outside}, {"classes": outside}):
        values = {"name": "mine", "folder": str(tmp_path), "labels": "", "classes": "", **given}
        with pytest.raises(InvalidRequest, match="may not be read"):
            checked_spec(**values)


def test_one_request_over_models_of_several_sources(
    url: str, asked: list[RunRequest], tmp_path: Path
) -> None:
    onnx.save(tiny_se_model(), tmp_path / "own.onnx")
    app = opened("new_run")
    app.multiselect(key="catalog_models").set_value(["timm/seresnet50", "ppcls/seresnet18"]).run()
    app.button(key="another_source").click().run()
    assert [m.model_id for m in asked[-1].models] == ["timm/seresnet50", "ppcls/seresnet18"]
    app.button_group(key="from").set_value("ONNX file").run()
    app.text_input(key="onnx_path").set_value(str(tmp_path / "own.onnx")).run()
    (own, *catalogued) = asked[-1].models
    assert (own.model_id, own.weights.path) == ("onnx/own", str(tmp_path / "own.onnx"))
    assert [m.model_id for m in catalogued] == ["timm/seresnet50", "ppcls/seresnet18"]
    assert all(m.weights.kind == "pretrained" for m in catalogued)
    app.button(key="another_source").click().run()
    app.button_group(key="from").set_value("Other timm model").run()
    app.multiselect(key="timm_names").set_value(["ese_vovnet19b_dw"]).run()
    ids = ["timm/ese_vovnet19b_dw", "timm/seresnet50", "ppcls/seresnet18", "onnx/own"]
    assert [m.model_id for m in asked[-1].models] == ids
    (label,) = [one for one in app.multiselect(key="kept_models").value if "ppcls" in one]
    app.multiselect(key="kept_models").unselect(label).run()
    assert "ppcls/seresnet18" not in [m.model_id for m in asked[-1].models]
