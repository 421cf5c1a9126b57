"""The script of a package: classifies images with exactly the steps of the measured build."""

from __future__ import annotations

from dataclasses import dataclass

from engine.preprocess import PreprocessSpec
from engine.preprocess.spec import Color, Interpolation, ResizeMode, Resizer
from engine.runtimes.registry import label_of


@dataclass(frozen=True, slots=True)
class SnippetFacts:
    """What the script depends on beside the steps.

    `hint`: OpenVINO's arithmetic; `exact`: exact integer sums in ONNX Runtime; `batch`: the only
    batch size that the model takes; `background`: index of an output that is no class.
    """

    build: str
    runtime: str
    hint: str = "f32"
    exact: bool = False
    batch: int | None = None
    background: int | None = None
    probabilities: bool = False


def snippet(spec: PreprocessSpec, facts: SnippetFacts) -> str:
    """The text of `classify.py`; it reads the numbers of the steps from `preprocessing.json`."""
    imports, load, run = _RUNTIMES[facts.runtime](facts)
    lines = [
        f'"""{facts.build} in {label_of(facts.runtime)}: python classify.py IMAGE..."""',
        "import json",
        "import sys",
        "from pathlib import Path",
        "",
        *(["import cv2"] if spec.resizer is Resizer.OPENCV and spec.resize else []),
        "import numpy as np",
        *imports,
        "from PIL import Image",
        "",
        "HERE = Path(__file__).parent",
        'STEPS = json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))',
        'LABELS = json.loads((HERE / "labels.json").read_text(encoding="utf-8"))',
        *load,
        "",
        "",
        "def prepare(path):",
        '    """The model input, float32 (1, 3, crop, crop)."""',
        '    image = Image.open(path).convert("RGB")',
        *_resize_lines(spec),
        *_crop_lines(spec),
        *(["    pixels = pixels[..., ::-1]  # BGR"] if spec.color is Color.BGR else []),
        '    mean, std = np.float32(STEPS["mean"]), np.float32(STEPS["std"])',
        '    values = (pixels.astype(np.float32) / np.float32(1 / STEPS["scale"]) - mean) / std',
        "    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])",
        "",
        "",
        "def classify(path, top=5):",
        '    """[(probability, class index, label)], best first."""',
        *_batch_lines(facts),
        *run,
        *_score_lines(facts),
        '    best = np.argsort(-scores, kind="stable")[:top]',
        "    return [(float(shares[i]), int(i), LABELS[i]) for i in best]",
        "",
        "",
        'if __name__ == "__main__":',
        "    for name in sys.argv[1:]:",
        "        print(name)",
        "        for share, index, label in classify(name):",
        '            print(f"  {100 * share:6.2f} %  {index:4d}  {label}")',
    ]
    return "\n".join(lines) + "\n"


def _resize_lines(spec: PreprocessSpec) -> list[str]:
    if spec.resize is None:
        return ["    pixels = np.asarray(image)"]
    pillow = spec.resizer is Resizer.PILLOW
    if spec.resize_mode is ResizeMode.SQUASH:
        size = ['    size = (STEPS["resize"], STEPS["resize"])']
    elif pillow:
        size = ['    size = [int(STEPS["resize"] * side / min(image.size)) for side in image.size]']
    else:
        size = [
            '    share = STEPS["resize"] / min(image.size)',
            "    size = [round(side * share) for side in image.size]",
        ]
    if pillow:
        name = {Interpolation.BILINEAR: "BILINEAR", Interpolation.BICUBIC: "BICUBIC"}
        chosen = f"Image.Resampling.{name[spec.interpolation]}"
        return [*size, f"    pixels = np.asarray(image.resize(size, {chosen}))"]
    name = {Interpolation.BILINEAR: "INTER_LINEAR", Interpolation.BICUBIC: "INTER_CUBIC"}
    chosen = f"cv2.{name[spec.interpolation]}"
    return [*size, f"    pixels = cv2.resize(np.asarray(image), size, interpolation={chosen})"]


def _crop_lines(spec: PreprocessSpec) -> list[str]:
    start = "round((side - crop) / 2)" if spec.resizer is Resizer.PILLOW else "(side - crop) // 2"
    return [
        '    crop = STEPS["crop"]  # centered; a smaller image is padded with zeros',
        "    pad = [max(0, crop - side) for side in pixels.shape[:2]]",
        "    pixels = np.pad(pixels, [(p // 2, p - p // 2) for p in pad] + [(0, 0)])",
        f"    y, x = ({start} for side in pixels.shape[:2])",
        "    pixels = pixels[y : y + crop, x : x + crop]",
    ]


def _batch_lines(facts: SnippetFacts) -> list[str]:
    if facts.batch in (None, 1):
        return ["    values = prepare(path)"]
    return [f"    values = np.repeat(prepare(path), {facts.batch}, axis=0)  # its only batch size"]


def _score_lines(facts: SnippetFacts) -> list[str]:
    lines = []
    if facts.background is not None:
        lines.append(f"    scores = np.delete(scores, {facts.background})  # background, no class")
    if facts.probabilities:
        return [*lines, "    shares = scores"]
    return [*lines, "    shares = np.exp(scores - scores.max())", "    shares /= shares.sum()"]


def _onnxruntime(facts: SnippetFacts) -> tuple[list[str], list[str], list[str]]:
    options, passed = [], ""
    if facts.exact:
        options = [
            "options = ort.SessionOptions()",
            'options.add_session_config_entry("session.x64quantprecision", "1")  # exact sums',
        ]
        passed = "options, "
    load = [
        *options,
        'MODEL = str(HERE / "model.onnx")',
        f'session = ort.InferenceSession(MODEL, {passed}providers=["CPUExecutionProvider"])',
    ]
    run = [
        "    feed = {session.get_inputs()[0].name: values}",
        "    scores = session.run([session.get_outputs()[0].name], feed)[0]",
        "    scores = np.float32(scores).reshape(len(values), -1)[0]",
    ]
    return ["import onnxruntime as ort"], load, run


def _openvino(facts: SnippetFacts) -> tuple[list[str], list[str], list[str]]:
    load = [
        f'SETTINGS = {{"INFERENCE_PRECISION_HINT": "{facts.hint}"}}',
        'compiled = ov.Core().compile_model(str(HERE / "model.onnx"), "CPU", SETTINGS)',
    ]
    run = ["    scores = np.float32(compiled(values)[0]).reshape(len(values), -1)[0]"]
    return ["import openvino as ov"], load, run


_RUNTIMES = {"onnxruntime": _onnxruntime, "openvino": _openvino}
RUNTIMES = tuple(_RUNTIMES)
"""The runtimes that a package can be made for."""
