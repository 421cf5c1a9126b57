"""One request over many models: what it compiles to, what is said about it, how it is listed."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from db.enums import JobKind, JobStatus, Precision, WeightsKind
from db.models import Benchmark, Evaluation, Run
from db.session import reading
from engine.catalog.models import catalog
from engine.catalog.timm_names import timm_name_problem, timm_names
from engine.cli.parsing import read_models
from engine.errors import InvalidRequest
from engine.runs.compile import compile, compile_all
from engine.runs.describe import describe_run
from engine.runs.downloads import missing_weights, weights_sentences
from engine.runs.fields import request_facts
from engine.runs.many_models import merge_sentences
from engine.runs.overview import list_runs
from engine.runs.plan import plan
from engine.runs.request import MAX_MODELS, OtherModel, RunRequest, Task
from engine.runs.submit import submit
from engine.specs import WeightsSpec
from engine.weights.formats import weights_format_problem
from tests.support import rows

RANDOM = WeightsSpec(kind=WeightsKind.RANDOM)
SPEED = {"weights": RANDOM, "tasks": (Task.EXPORT, Task.BUILD, Task.BENCHMARK)}


def of_models(*names: str, **fields: object) -> RunRequest:
    first, *others = names
    more = tuple(OtherModel(model_id=name, weights=RANDOM) for name in others)
    return RunRequest(model_id=first, other_models=more, **{**SPEED, **fields})


def test_a_request_of_many_models_is_those_of_each_model_with_shared_jobs_once() -> None:
    names = list(catalog())[:3]
    request = of_models(*names, precisions=(Precision.FP32, Precision.INT8))
    single = [compile(RunRequest(model_id=name, precisions=request.precisions, **SPEED))
              for name in names]  # fmt: skip
    joined = compile(request)
    dataset, *_ = joined
    assert [job.identity() for job in joined] == [
        dataset.identity(),
        *(job.identity() for jobs in single for job in jobs[1:]),
    ]
    size = len(single[0]) - 1
    for position, job in enumerate(joined[1:]):
        start = 1 + position // size * size
        assert all(need == 0 or start <= need <= position for need in job.needs), job.title


def test_one_model_is_stored_and_compiled_as_before() -> None:
    request = RunRequest(model_id="timm/seresnet50")
    assert not {"other_models", "name", "notes", "tags"} & set(request.to_json())
    assert request.for_each_model() == (request,)
    again = of_models("timm/seresnet50", "timm/seresnet50")
    assert len(again.for_each_model()) == 1
    assert compile_all([request, request]) == compile(request)


def test_a_run_of_the_whole_catalog_is_planned_queued_and_found_again(url: str) -> None:
    request = of_models(*catalog(), name="All rows", tags=("speed",), notes="One request.")
    found = plan(request, url)
    assert found.problems == ()
    assert found.steps[1] == (
        f"Export each of {len(catalog())} models with random weights to ONNX and verify it."
    )
    run_id = submit(request, url)
    with reading(url) as session:
        stored = session.get_one(Run, run_id)
    assert RunRequest.model_validate(stored.request).models == request.models
    assert stored.title == "All rows"
    assert "ppcls/senet154" in request_facts(stored.request)["Further models"]
    (row,) = list_runs(url, "seresnet101 queued SPEED")
    assert (row.state, row.done, row.jobs) == ("queued", 0, len(compile(request)))
    assert list_runs(url, "no such") == []
    describe_run(run_id, None, "later", ["a", "a"], url)
    (row,) = list_runs(url, "later")
    assert (row.title, row.tags) == (f"{len(catalog())} models (random weights): "
                                     "fp32, fp16, int8", ("a",))  # fmt: skip
    for wrong, told in ((run_id + 1, "no run"), (run_id, "name")):
        with pytest.raises(InvalidRequest, match=told):
            describe_run(wrong, "x" * 101, None, [], url)


def test_the_best_results_of_a_run_are_listed(url: str) -> None:
    rows.add_measured_model(url)
    with reading(url) as session:
        evaluations = list(session.scalars(select(Evaluation)))
        benchmarks = list(session.scalars(select(Benchmark)))
    best = max(evaluations, key=lambda one: (one.top1_count or 0) / one.images)
    done = {"evaluation": best.id, "benchmarks": [one.id for one in benchmarks]}
    rows.add_job(url, JobStatus.SUCCEEDED, kind=JobKind.EVALUATE, result=done)
    rows.add_job(url, JobStatus.FAILED, "Build y", result=done)
    failed, row = list_runs(url)[:2]
    assert (failed.state, failed.best_result) == ("failed", "")
    assert row.top1 == pytest.approx(100 * (best.top1_count or 0) / best.images)
    assert row.latency_ms == min(b.latency_p50_ms for b in benchmarks if b.latency_p50_ms)
    assert row.best_result.startswith(f"{row.top1:.1f} % timm/")
    assert (row.state, row.done, row.jobs) == ("succeeded", 1, 1)


@pytest.mark.parametrize(
    ("said", "merged"),
    [
        ({"a": ["x a"], "b": ["x b"]}, ("X each of 2 models",)),
        ({"a": ["same"], "b": ["same"]}, ("same",)),
        ({"a": ["one"], "b": []}, ("a: one",)),
        ({"a": ["no"], "b": ["no"], "c": []}, ("2 of 3 models (a, b): no",)),
        ({"a": ["the a is a"], "b": []}, ("the a is a",)),
    ],
)
def test_equal_sentences_are_said_once(said: dict[str, list[str]], merged: tuple[str, ...]) -> None:
    said = {f"timm/{name}": [text.replace(" a", " timm/a").replace(" b", " timm/b")
                             for text in texts] for name, texts in said.items()}  # fmt: skip
    expected = tuple(
        text.replace("(a, b)", "(timm/a, timm/b)").replace("a: one", "timm/a: one")
        .replace("the a is a", "the timm/a is timm/a") for text in merged
    )  # fmt: skip
    assert merge_sentences(said.items()) == expected


def test_an_unknown_timm_name_is_a_problem_before_anything_is_queued(url: str) -> None:
    (problem,) = plan(of_models("timm/seresnet5"), url).problems
    assert problem.startswith("timm has no model 'seresnet5'. Did you mean seresnet50")
    assert timm_name_problem("seresnet50") is None
    assert timm_name_problem("seresnet50.a1_in1k") is None
    assert "It has seresnet50.a1_in1k" in str(timm_name_problem("seresnet50.none"))
    assert {model.name for model in catalog().values() if model.source == "timm"} <= {*timm_names()}


def test_a_file_that_holds_no_weights_is_a_problem(url: str, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Weights\n" * 40)
    weights = WeightsSpec(kind=WeightsKind.FILE, path=str(readme))
    (problem,) = plan(RunRequest(model_id="timm/seresnet50", weights=weights,
                                 tasks=(Task.EXPORT,)), url).problems  # fmt: skip
    assert problem.startswith("README.md is not a weights file")
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    for content in (b"PK\x03\x04", b"\x80\x02}", len(header).to_bytes(8, "little") + header):
        readme.write_bytes(content)
        assert weights_format_problem(readme) is None


def test_missing_weights_of_many_models_are_one_sentence(url: str) -> None:
    names = [name for name in catalog() if name.startswith("timm/")][:2]
    missing = missing_weights([RunRequest(model_id=name) for name in names])
    (sentence,) = weights_sentences(missing, offline=False)
    assert sentence.startswith(f"The weights of 2 models ({', '.join(names)}) will be downloaded.")


def test_models_of_the_command_line() -> None:
    pretrained = WeightsSpec()
    whole = read_models([], pretrained, [], whole_catalog=True)
    assert [whole["model_id"], *(m.model_id for m in whole["other_models"])] == list(catalog())
    some = read_models(["ppcls/senet154", "/m/a.onnx"], pretrained, ["ppcls"], whole_catalog=False)
    assert some["model_id"] == "ppcls/senet154"
    assert some["other_models"][0].weights.path == "/m/a.onnx"
    assert sum(m.model_id == "ppcls/senet154" for m in some["other_models"]) == 0
    file = WeightsSpec(kind=WeightsKind.FILE, path="w.pth")
    for models, sources, weights, told in (
        ([], [], pretrained, "Name a model"),
        ([], ["tim"], pretrained, "no source 'tim'"),
        (["timm/a", "timm/b"], [], file, "belongs to one model"),
        (["/m/a.onnx", "/n/a.onnx"], [], pretrained, "given twice"),
    ):
        with pytest.raises(InvalidRequest, match=told):
            read_models(models, weights, sources, whole_catalog=False)
    assert len(catalog()) < MAX_MODELS
