"""Every page, by AppTest: on nothing, on synthetic rows, on hostile names, and on errors."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from sqlalchemy import select

from dashboard import queries
from db.enums import JobStatus, Precision
from db.models import Job, Run
from db.session import reading, writing
from engine.datasets.registration import check_folder, register
from engine.imports.evaluation import OutsideEvaluation, import_evaluation
from engine.runs.request import DEMO
from engine.weights.identify import Identified
from tests.support import rows
from tests.support.pages import PAGES, at, figures, missing, opened, plain_texts, texts
from tests.support.tiny import image_folder, tiny_se_model

HOSTILE = "[x](http://evil) :red[y] <b>z</b> `q`"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_stands_on_an_empty_database(url: str, page: str) -> None:
    app = opened(page)
    assert app.title
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_every_page_stands_on_results(url: str, page: str) -> None:
    rows.add_measured_model(url)
    rows.add_measured_model(
        url, "collapsed", right={"fp32": 800, "int8": 1}, collapsed=("int8",), dataset="other"
    )
    rows.add_measured_model(url, "random", weights_kind="random", dataset="third")
    rows.add_job(url, JobStatus.SUCCEEDED, "Build a", ended_at=2.0, message="done")
    rows.add_job(
        url,
        JobStatus.RUNNING,
        "Build b",
        done=5,
        total=10,
        unit="images",
        rate=2.5,
        log_tail="a\nb",
    )
    rows.add_job(url, JobStatus.QUEUED, "Build c")
    app = opened(page)
    assert app.title
    assert not app.error


@pytest.mark.parametrize("page", PAGES)
def test_names_are_never_markup(url: str, page: str) -> None:
    rows.add_measured_model(url, HOSTILE, dataset=HOSTILE)
    rows.add_job(url, JobStatus.FAILED, HOSTILE, error=HOSTILE, ended_at=2.0)
    rows.add_job(url, JobStatus.RUNNING, HOSTILE + "2", message=HOSTILE)
    app = opened(page, id="1")
    said = texts(app)
    assert "[x](http" not in said
    assert ":red[y]" not in said


def test_first_page_shows_the_published_rows_and_one_button(url: str) -> None:
    app = opened()
    (figure,) = figures(app)
    (trace,) = figure["data"]
    assert trace["name"].startswith("published (25")
    assert len(trace["customdata"]) == 25
    assert [button.label for button in app.button] == ["Run the built-in demo"]


def test_the_demo_button_queues_the_demo(url: str) -> None:
    opened().button(key="run_demo").click().run()
    with reading(url) as session:
        (run,) = session.scalars(select(Run))
        jobs = list(session.scalars(select(Job)))
    assert run.request == DEMO.to_json()
    assert len(jobs) == 10
    assert {job.status for job in jobs} == {JobStatus.QUEUED}


def test_the_first_page_waits_for_results_once_the_demo_is_queued(url: str) -> None:
    opened().button(key="run_demo").click().run()
    app = opened()
    assert "**10 jobs** queued or running" in texts(app)
    assert not app.button


def test_compare_shows_three_charts_with_every_precision(url: str) -> None:
    rows.add_measured_model(url)
    app = opened()
    throughput, change, speed = figures(app)
    compute = figures(opened(x="GMACs"))[0]
    for figure in (compute, throughput):
        assert {"fp32", "fp16", "int8"} <= {trace.get("name") for trace in figure["data"]}
    assert any(str(t.get("name")).startswith("published") for t in compute["data"])
    assert "int8 minus fp16" in change["layout"]["xaxis"]["title"]["text"]
    assert speed["data"][0]["text"] == ["1.50×"]
    assert "-0.90" in texts(app).replace("−", "-")


def test_published_figures_do_not_stand_beside_other_images(url: str) -> None:
    rows.add_measured_model(url, classes=16)
    compute = figures(opened(x="GMACs"))[0]
    assert "GMACs" in compute["layout"]["xaxis"]["title"]["text"]
    assert not any(str(t.get("name")).startswith("published") for t in compute["data"])


def test_random_weights_give_speed_and_no_accuracy(url: str) -> None:
    rows.add_measured_model(url, weights_kind="random")
    app = opened()
    assert "No evaluation yet" in texts(app)
    assert len(figures(app)) == 1  # the speed-up


def test_an_empty_filter_says_so(url: str) -> None:
    rows.add_measured_model(url, "a", dataset="val")
    rows.add_measured_model(url, "b", dataset="other")
    app = opened()
    app.selectbox(key="images").select("val · 1,000 images")
    app.multiselect(key="models").select("timm/b").run()
    assert "No evaluation matches" in texts(app)
    assert not app.exception


def test_a_plan_says_what_is_missing(url: str) -> None:
    app = opened("new_run")
    app.button_group(key="tasks_without_accuracy").set_value(["evaluate"]).run()
    assert "Evaluate needs a dataset" in texts(app)
    assert app.button(key="queue").disabled


def test_queue_run_writes_the_rows(url: str) -> None:
    app = opened("new_run")
    app.multiselect(key="catalog_models").set_value(["ppcls/seresnet18"])
    app.button_group(key="weights").set_value("Random")
    app.button_group(key="precisions").set_value(["fp32"]).run()
    assert not app.button(key="queue").disabled
    app.button(key="queue").click().run()
    assert not app.error
    with reading(url) as session:
        (run,) = session.scalars(select(Run))
        kinds = [job.kind for job in session.scalars(select(Job).order_by(Job.id))]
    assert run.request["model_id"] == "ppcls/seresnet18"
    assert run.request["weights"]["kind"] == "random"
    assert kinds == ["export", "build", "benchmark"]


def test_a_weights_file_that_is_not_there_is_a_sentence(url: str) -> None:
    app = opened("new_run")
    app.button_group(key="weights").set_value("From a file").run()
    assert app.button(key="queue").disabled
    app.text_input(key="weights_file_path").set_value("/nowhere/x.pth").run()
    assert "does not exist" in texts(app)
    assert app.button(key="queue").disabled


def test_a_weights_file_says_what_it_holds(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04")
    asked = []

    def identify(path: Path, key: str | None, guesses: list[str]) -> Identified:
        asked.append((path.name, key, guesses))
        remark = "x.pth holds several sets of weights: model was taken"
        return Identified("ppcls/seresnet18", 10, ("model", "model_ema"), (remark,))

    monkeypatch.setattr("dashboard.queries.checkpoints.identify", identify)
    app = opened("new_run")
    app.button_group(key="weights").set_value("From a file").run()
    app.text_input(key="weights_file_path").set_value(str(tmp_path / "x.pth")).run()
    assert not missing(
        plain_texts(app), "ppcls/seresnet18", "not of timm/seresnet50", "several sets"
    )
    app.text_input(key="weights_key").set_value("model_ema")
    app.button(key="choose_held").click().run()
    assert "weights of ppcls/seresnet18, with 10 classes." in plain_texts(app)
    assert asked == [
        ("x.pth", None, ["timm/seresnet50"]),
        ("x.pth", "model_ema", []),
    ]
    app.button(key="queue").click().run()
    with reading(url) as session:
        (run,) = session.scalars(select(Run))
    assert run.request["model_id"] == "ppcls/seresnet18"
    assert run.request["weights"]["key"] == "model_ema"


def test_weights_of_other_classes_than_the_dataset_are_a_problem(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.pth").write_bytes(b"PK\x03\x04")
    folder = image_folder(tmp_path / "own", 1)
    register("own", check_folder(folder, None, lambda done, total: None), url)
    for classes, told in ((10, True), (4, False)):
        held = Identified("timm/seresnet50", classes)
        monkeypatch.setattr("dashboard.queries.checkpoints.identify", lambda *_, held=held: held)
        (tmp_path / "x.pth").write_bytes(b"PK\x03\x04" + bytes(classes))
        app = opened("new_run")
        app.button_group(key="weights").set_value("From a file").run()
        app.text_input(key="weights_file_path").set_value(str(tmp_path / "x.pth"))
        app.selectbox(key="dataset_for_Catalog").set_value("own").run()
        assert f"with {classes} classes" in plain_texts(app)
        assert ("has 10 outputs, dataset 'own' has 4 classes" in plain_texts(app)) == told
        assert app.button(key="queue").disabled == told


@pytest.mark.parametrize("divided", [True, False])
def test_mean_and_std_of_raw_pixels_need_a_scale_of_1(url: str, divided: bool) -> None:
    app = opened("new_run")
    app.button_group(key="weights").set_value("Random")
    app.button_group(key="protocol").set_value("custom").run()
    app.text_input(key="pre_mean").set_value("123.675, 116.28, 103.53")
    app.text_input(key="pre_std").set_value("58.395 57.12 57.375")
    app.text_input(key="pre_scale").set_value("1/255" if divided else "1").run()
    assert app.button(key="queue").disabled == divided
    told = "mean 0.485,0.456,0.406 and std 0.229,0.224,0.225" in plain_texts(app)
    assert told == divided


@pytest.mark.parametrize(("protocol", "mode"), [("published", None), ("vendor", "squash")])
def test_the_protocol_is_part_of_the_request(url: str, protocol: str, mode: str | None) -> None:
    app = opened("new_run")
    app.button_group(key="weights").set_value("Random")
    app.button_group(key="protocol").set_value(protocol).run()
    app.button(key="queue").click().run()
    with reading(url) as session:
        (run,) = session.scalars(select(Run))
    assert (run.request["preprocess"] or {}).get("resize_mode") == mode


def test_an_onnx_file_is_its_own_model(url: str, tmp_path: Path) -> None:
    onnx.save(tiny_se_model(), tmp_path / "net.onnx")
    app = opened("new_run")
    app.button_group(key="from").set_value("ONNX file").run()
    app.text_input(key="onnx_path").set_value(str(tmp_path / "net.onnx")).run()
    assert not app.error
    app.button(key="queue").click().run()
    with reading(url) as session:
        (run,) = session.scalars(select(Run))
    assert run.request["model_id"] == "onnx/net"
    assert len(run.request["weights"]["sha256"]) == 64


def test_a_wrong_preprocessing_is_a_sentence(url: str, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"bytes")
    app = opened("new_run")
    app.button_group(key="from").set_value("ONNX file").run()
    app.text_input(key="onnx_path").set_value(str(tmp_path / "net.onnx"))
    app.toggle(key="own_preprocessing").set_value(True).run()
    app.text_input(key="pre_mean").set_value("0.5 half").run()
    assert "Mean must be three numbers" in texts(app)


def test_a_running_job_shows_rate_and_time_left(url: str) -> None:
    rows.add_job(url, JobStatus.RUNNING, done=600, total=2400, unit="images", rate=200.0)
    app = opened("jobs")
    (bar,) = app.get("progress")  # a run of one job has no bar of its own
    assert bar.proto.value == 25
    assert not missing(bar.proto.text, "600 of 2,400 images", "200 images/s", "9 s")


def test_cancel_and_retry_change_the_rows(url: str) -> None:
    queued = rows.add_job(url, JobStatus.QUEUED, "Build a")
    failed = rows.add_job(url, JobStatus.FAILED, "Build b", error="It broke.", ended_at=time.time())
    app = opened("jobs")
    assert "It broke" in texts(app)
    app.button(key=f"cancel_{queued}").click().run()
    app.button(key=f"retry_open_{failed}").click().run()
    with reading(url) as session:
        assert session.get(Job, queued).status == JobStatus.CANCELLED
        assert session.get(Job, failed).status == JobStatus.QUEUED
    assert not app.exception


def test_an_ended_job_shows_its_log_when_chosen(url: str) -> None:
    job = rows.add_job(url, JobStatus.CANCELLED, ended_at=1.0, log_tail="the last line")
    app = at("jobs")
    app.session_state["chosen_job"] = job
    app.run()
    assert "the last line" in [code.value for code in app.code]


def test_results_are_shown_and_filtered(url: str) -> None:
    rows.add_measured_model(url)
    app = opened("results")
    assert len(app.dataframe[0].value) == 3
    labels = {button.label for button in app.get("download_button")}
    assert {"CSV", "JSON with provenance", "Markdown", "LaTeX", "HTML report"} <= labels
    app.button_group(key="precision").set_value(["int8"]).run()
    assert app.dataframe[0].value["top1"].tolist() == pytest.approx([79.3])
    app.text_input(key="model").set_value("nothing like it").run()
    assert "No result matches" in texts(app)


def test_a_run_shows_its_jobs_and_errors(url: str) -> None:
    rows.add_job(url, JobStatus.FAILED, "Build x", error="The disk is full.", ended_at=1.0)
    app = opened("run", id="1")
    assert "The disk is full" in texts(app)
    assert app.title[0].value == "Run 1"


@pytest.mark.parametrize("number", ["99", "-1", "x", "1; drop table run", "9" * 30])
def test_an_unknown_run_is_a_sentence(url: str, number: str) -> None:
    app = opened("run", id=number)
    assert "There is no run" in app.error[0].value


def test_a_dataset_form_queues_or_says_what_is_wrong(url: str, tmp_path: Path) -> None:
    app = opened("datasets")
    app.text_input(key="dataset_name").set_value("mine")
    app.text_input(key="dataset_folder").set_value("/nowhere/at/all")
    app.button(key="add_dataset").click().run()
    assert "There is no folder" in app.error[0].value
    app.text_input(key="dataset_name").set_value("not a name!")
    app.text_input(key="dataset_folder").set_value(str(tmp_path))
    app.button(key="add_dataset").click().run()
    assert "is not a valid dataset name" in app.error[0].value.replace("\\", "")
    app.text_input(key="dataset_name").set_value("mine")
    app.text_input(key="dataset_folder").set_value(str(tmp_path))
    app.button(key="add_dataset").click().run()
    with reading(url) as session:
        (job,) = session.scalars(select(Job))
    assert job.params["name"] == "mine"
    assert job.params["root"] == str(tmp_path)


def test_a_dataset_form_takes_classes_and_columns(url: str, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("foto,breite,klasse\na.png,30,1\nb.png,31,0\n")
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    app = opened("datasets")
    app.text_input(key="dataset_name").set_value("mine")
    app.text_input(key="dataset_folder").set_value(str(tmp_path))
    app.text_input(key="dataset_labels").set_value(str(tmp_path / "labels.csv"))
    app.button(key="add_dataset").click().run()
    assert "the class column is not clear" in app.error[0].value
    app.text_input(key="dataset_columns").set_value("foto klasse")
    app.button(key="add_dataset").click().run()
    assert "is not two columns" in app.error[0].value
    app.text_input(key="dataset_columns").set_value("foto, klasse")
    app.text_input(key="dataset_classes").set_value(str(tmp_path / "none.txt"))
    app.button(key="add_dataset").click().run()
    assert "There is no class list" in app.error[0].value
    app.text_input(key="dataset_classes").set_value(str(tmp_path / "classes.txt"))
    app.selectbox(key="dataset_base").set_value(1)
    app.button(key="add_dataset").click().run()
    with reading(url) as session:
        (job,) = session.scalars(select(Job))
    assert job.params["label_columns"] == ["foto", "klasse"]
    assert job.params["label_base"] == 1
    assert job.params["classes"] == str(tmp_path / "classes.txt")


def test_what_was_assumed_of_a_dataset_stands_on_its_card(url: str) -> None:
    rows.add_dataset(url, "val", notes=["The folders start at 1: 1 is subtracted from each."])
    assert "1 is subtracted from each" in texts(opened("datasets"))


def test_unreadable_images_are_named(url: str) -> None:
    rows.add_dataset(url, "val", corrupt=1, corrupt_files=[["n1/broken.jpg", "it is cut short."]])
    app = opened("datasets")
    assert app.dataframe[0].value["file"].tolist() == ["n1/broken.jpg"]


def test_a_broken_page_says_one_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(queries, "datasets", fail)
    app = opened("datasets")
    (error,) = app.error
    assert "failed unexpectedly" in error.value
    assert "secret" not in texts(app)


def test_a_lost_table_says_one_sentence(url: str) -> None:
    opened()
    with writing(url) as session:
        session.connection().exec_driver_sql("DROP TABLE benchmark")
    (error,) = opened("results").error
    assert "database could not be read" in error.value


@pytest.mark.parametrize("page", ["compare", "results"])
def test_imported_rows_stand_beside_those_measured_here(
    url: str, tmp_path: Path, page: str
) -> None:
    rows.add_measured_model(url)
    np.save(tmp_path / "p.npy", np.arange(200) // 20)
    asked = OutsideEvaluation(
        tmp_path / "p.npy", "timm/seresnet50", Precision.FP32, "card X", "other", per_class=20
    )
    import_evaluation(asked, url)
    app = opened(page)
    assert not app.exception
    assert "failed unexpectedly" not in texts(app)


def test_imported_evaluations_alone_say_why_they_have_no_speed(url: str, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.arange(200) // 20)
    for name in ("seresnet50", "legacy_senet154"):
        asked = OutsideEvaluation(
            tmp_path / "p.npy", f"timm/{name}", Precision.FP32, "card X", "other", per_class=20
        )
        import_evaluation(asked, url)
    picked = [f"timm/{name} (imported: card X) fp32" for name in ("seresnet50", "legacy_senet154")]
    app = opened(picked=picked)
    said = texts(app).replace("\\", "")
    assert "failed unexpectedly" not in said
    assert not missing(said, "imported without a benchmark", "not exported here")
    assert "B vs A" in said
    assert "× size" not in said
    views = (
        "Model against model",
        "Where accuracy was lost",
        "Latency",
        "Batch scaling",
        "All dimensions",
    )
    for app in (*(opened(view=view) for view in views), opened("results"), opened("system")):
        assert "failed unexpectedly" not in texts(app)


def test_system_lists_artifacts_and_removes_what_nothing_rests_on(url: str) -> None:
    rows.add_measured_model(url)
    with writing(url) as session:
        session.connection().exec_driver_sql("DELETE FROM benchmark WHERE images_per_s > 25")
        session.connection().exec_driver_sql("DELETE FROM evaluation WHERE top1_count = 793")
    app = opened("system")
    uses = next(d.value for d in app.dataframe if "used by" in d.value)
    assert (uses["used by"] == "nothing").sum() == 1
    app.button(key="clean").click().run()
    uses = next(d.value for d in app.dataframe if "used by" in d.value)
    assert len(uses) == 2
    assert "Removed 1 artifact" in app.toast[0].value
