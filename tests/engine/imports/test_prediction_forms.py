"""The forms that files of predictions have in the field; a wrong cell is named by its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from engine.errors import InvalidRequest
from engine.imports.predictions import Predictions, read_predictions

N, CLASSES, K = 12, 40, 5
NAMES = [f"image_{i:02d}.JPEG" for i in range(N)]


def scores() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (N, CLASSES)).astype(np.float32)


def best() -> np.ndarray:
    return np.argsort(-scores(), axis=1)[:, :K]


def probabilities() -> np.ndarray:
    exp = np.exp(scores().astype(np.float64))
    return np.sort(exp / exp.sum(axis=1, keepdims=True), axis=1)[:, ::-1][:, :K]


def timms(path: Path, *, separate: bool, **columns: np.ndarray | None) -> Path:
    """As timm 1.0's inference.py builds its table and saves it as CSV."""
    np.set_printoptions(threshold=10**9)
    table: dict[str, Any] = {"filename": NAMES}
    for name, values in columns.items():
        if values is None:
            continue
        if separate:
            table |= {f"{name}_{i}": values[:, i] for i in range(values.shape[1])}
        else:
            table[name] = list(values.squeeze(-1) if values.shape[1] == 1 else values)
    pd.DataFrame(table).to_csv(path, index=False)
    np.set_printoptions(threshold=1000)
    return path


def labels(top: np.ndarray) -> np.ndarray:
    return np.char.add("class ", top.astype(str))


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("k", [1, K])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("output", ["prob", "logit"])
def test_what_timms_inference_script_writes(
    tmp_path: Path, separate: bool, k: int, named: bool, output: str
) -> None:
    top = best()[:, :k]
    path = timms(
        tmp_path / "p.csv",
        separate=separate and k > 1,
        index=top,
        label=labels(top) if named else None,
        **{output: probabilities()[:, :k]},
    )
    found = read_predictions(path)
    assert found.top is not None
    np.testing.assert_array_equal(found.top, top)
    assert found.name is not None
    assert found.name.tolist() == NAMES
    assert found.label is None, "the names of what it predicts are no truth"
    assert (found.top_probability is None) == (output == "logit")


@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("name", ["prob", "logit", "score"])
def test_all_scores_of_timms_script(tmp_path: Path, separate: bool, name: str) -> None:
    path = timms(tmp_path / "p.csv", separate=separate, **{name: scores()})
    found = read_predictions(path)
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, scores(), rtol=1e-5)


def test_predictions_by_name_alone_ask_for_the_index(tmp_path: Path) -> None:
    names = timms(tmp_path / "p.csv", separate=True, label=labels(best()), prob=probabilities())
    with pytest.raises(InvalidRequest, match=r"\('class \d+'\) and gives no.*--include-index"):
        read_predictions(names)
    shares = timms(tmp_path / "q.csv", separate=True, prob=probabilities())
    with pytest.raises(InvalidRequest, match=r"fall from the first to the last.*--include-index"):
        read_predictions(shares)


def test_a_numbered_table_is_not_taken_for_classes(tmp_path: Path) -> None:
    frame = pd.DataFrame(scores()).add_prefix("score_").rename_axis("index")
    frame.to_csv(tmp_path / "p.csv")
    assert read_predictions(tmp_path / "p.csv").classes() == CLASSES


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32, np.int64, np.float16, np.float64])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_scores_of_any_type(tmp_path: Path, kind: Any, suffix: str) -> None:
    values = np.random.default_rng(1).integers(0, 100, (N, CLASSES)).astype(kind)
    path = tmp_path / f"p{suffix}"
    writers: dict[str, Any] = {
        ".npy": lambda: np.save(path, values),
        ".npz": lambda: np.savez(path, scores=values),
        ".csv": lambda: pd.DataFrame(values).add_prefix("score_").to_csv(path, index=False),
    }
    writers[suffix]()
    found = read_predictions(path)
    assert found.scores is not None
    assert found.scores.dtype == np.float32
    np.testing.assert_array_equal(found.scores, values.astype(np.float32))


@pytest.mark.parametrize("column", ["top", "pred", "prediction"])
def test_classes_written_as_fractions_of_one(tmp_path: Path, column: str) -> None:
    names = [f"{column}{i + 1}" for i in range(K)]
    frame = pd.DataFrame(best().astype(float), columns=names)
    frame.assign(label=best()[:, 0].astype(float)).to_csv(tmp_path / "p.csv", index=False)
    found = read_predictions(tmp_path / "p.csv")
    assert found.top is not None
    assert found.label is not None
    np.testing.assert_array_equal(found.top, best())
    np.testing.assert_array_equal(found.label, best()[:, 0])


def read(tmp_path: Path, text: str) -> Predictions:
    (tmp_path / "p.csv").write_text(text)
    return read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("image,top1\na.jpg,1\nb.jpg,\nc.jpg,3\n", "p.csv, line 3: the cell of top1 is empty."),
        ("image,top1\n\na.jpg,1\n\nb.jpg,\n", "p.csv, line 5: the cell of top1 is empty."),
        ("image,top1\na.jpg,1\n,2\n", "p.csv, line 3: the cell of image is empty."),
        ("image,top1\na.jpg,1\nb.jpg,cat\n", "p.csv, line 3: top1 is 'cat', not a finite number."),
        ("image,top1\na.jpg,1\nb.jpg,2.5\n", "p.csv, line 3: top1 is '2.5', not a whole number"),
        ("image,pred,label\na,1,2\nb,1,\n", "p.csv, line 3: the cell of label is empty."),
        ("image,pred,label\na,1,cat\nb,1,dog\n", "p.csv, line 2: label is 'cat', not a finite"),
        ("score_0,score_1\n1,2\n3,x\n", "p.csv, line 3: score_1 is 'x', not a finite number."),
        ("score_0,score_1\n1,2\n3,\n", "p.csv, line 3: the cell of score_1 is empty."),
        ('index,note\n"[1\n 2]",a\n"[3\n x]",b\n', "p.csv, line 4: index is '[3"),
        ("top1,top2\n1,2\n3,\n", "p.csv, line 3: the cell of top2 is empty."),
        ("a.jpg,65\nb.jpg,3\n", "only a.jpg, 65. Its first line must name the columns."),
    ],
)
def test_the_cell_that_is_wrong_is_named_by_its_line(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(tmp_path, text)
    assert place in str(caught.value)


@pytest.mark.parametrize(("sign", "decimal"), [(";", "."), (";", ","), ("\t", ".")])
def test_columns_may_be_parted_by_semicolons_or_tabs(
    tmp_path: Path, sign: str, decimal: str
) -> None:
    path = timms(tmp_path / "p.csv", separate=True, index=best(), prob=probabilities())
    pd.read_csv(path).to_csv(path, index=False, sep=sign, decimal=decimal)
    found = read_predictions(path)
    np.testing.assert_array_equal(found.top, best())
    np.testing.assert_allclose(found.top_probability, probabilities(), rtol=1e-5)


def test_a_csv_in_utf_16_is_read(tmp_path: Path) -> None:
    path = timms(tmp_path / "p.csv", separate=True, index=best(), prob=probabilities())
    path.write_text(path.read_text(), encoding="utf-16")
    np.testing.assert_array_equal(read_predictions(path).top, best())


def test_names_of_classes_in_lists_of_a_parquet_file(tmp_path: Path) -> None:
    table = {"filename": NAMES, "index": list(best()), "label": list(labels(best()))}
    pd.DataFrame(table).to_parquet(tmp_path / "p.parquet")
    found = read_predictions(tmp_path / "p.parquet")
    np.testing.assert_array_equal(found.top, best())
    assert found.label is None


def test_a_file_of_a_heading_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("filename,index,prob\n")
    with pytest.raises(InvalidRequest, match="names of columns, and no rows"):
        read_predictions(tmp_path / "p.csv")
