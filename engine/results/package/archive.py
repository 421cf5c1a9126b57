"""Writes the zip of a package; the model file is streamed, never held whole in memory."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

from db.models import Artifact, Weights
from db.session import reading
from engine.build.int8.saturation import overflow_warning
from engine.build.lookup import file_for
from engine.classify.class_names import class_names_of
from engine.common.files import atomic_write
from engine.errors import InvalidRequest
from engine.preprocess.spec import Resizer
from engine.results.columns import STORED
from engine.results.formats import to_markdown
from engine.results.joining import results_frame
from engine.results.package.snippet import RUNTIMES, SnippetFacts, snippet
from engine.results.provenance import with_provenance
from engine.runtimes.registry import label_of, runtime_of, why_not
from engine.specs.precisions import uses_bf16
from engine.store.artifacts import model_path, preprocess_of
from engine.store.manifest import ExportManifest

FIGURES = (
    "runtime", "top1", "top1_low", "top1_high", "top5", "images", "dataset", "images_per_s",
    "images_per_s_low", "images_per_s_high", "latency_p50_ms", "latency_p90_ms", "latency_p99_ms",
    "batch", "threads", "peak_rss_mb", "size_mb", "stable", "noise", "environment",
)  # fmt: skip
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino"}


def package_runtime(artifact: Artifact, runtime: str | None = None) -> str:
    """The runtime of a package: the given one, else the first that executes the precision.

    Raises InvalidRequest where a package cannot be made for it.
    """
    if runtime is None:
        return next((r for r in RUNTIMES if why_not(r, artifact.precision) is None), RUNTIMES[0])
    runtime_of(runtime)
    if runtime not in RUNTIMES:
        raise InvalidRequest(
            f"A package has a script for {' or '.join(RUNTIMES)}, not for {runtime}: choose one "
            "of these."
        )
    reason = why_not(runtime, artifact.precision)
    if reason is not None:
        raise InvalidRequest(reason)
    return runtime


def package_name(artifact: Artifact, runtime: str) -> str:
    """A file name for the package: model, precision, runtime, and the first digits of the build."""
    text = f"{artifact.model_id}-{artifact.precision}-{runtime}-{artifact.digest[:8]}"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text) + ".zip"


def write_package(
    artifact: Artifact, path: Path, url: str, runtime: str | None = None
) -> list[str]:
    """Writes the package and returns the names of its files.

    The zip replaces `path` when it is complete. Raises InvalidRequest, ArtifactMissing,
    StorageFull.
    """
    chosen = package_runtime(artifact, runtime)
    model = file_for(chosen, artifact, url)
    texts = package_texts(artifact, url, chosen)
    folder = path.name.removesuffix(".zip")
    try:
        with (
            atomic_write(path) as part,
            zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            for name, text in texts.items():
                archive.writestr(f"{folder}/{name}", text)
            # Weights do not compress.
            archive.write(model, f"{folder}/model.onnx", zipfile.ZIP_STORED)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error.strerror or error}.") from error
    return [*texts, "model.onnx"]


def package_texts(artifact: Artifact, url: str, runtime: str) -> dict[str, str]:
    """All files of a package but the model, by name."""
    model_path(artifact.digest)
    spec, manifest = preprocess_of(artifact), ExportManifest.from_artifact(artifact)
    facts = snippet_facts(artifact, runtime)
    frame = results_frame(url, hidden=True)
    rows = frame[frame["artifact_digest"] == artifact.digest]
    packages = ["numpy", "pillow", PACKAGES[runtime]]
    if spec.resizer is Resizer.OPENCV and spec.resize:
        packages.append("opencv-python-headless")
    return {
        "README.md": _readme(
            artifact, facts, to_markdown(rows[list(FIGURES)]), _license(url, artifact)
        ),
        "classify.py": snippet(spec, facts),
        "preprocessing.json": json.dumps(spec.to_dict(), indent=1),
        "labels.json": json.dumps(class_names_of(artifact), indent=0, ensure_ascii=False),
        "requirements.txt": "\n".join(packages) + "\n",
        "figures.json": rows[list(FIGURES)].to_json(orient="records", indent=1) or "[]",
        "provenance.json": with_provenance(rows, list(STORED), url),
        "manifest.json": json.dumps(manifest.dump(), indent=1, sort_keys=True),
        "LICENSE-NOTE.txt": _license(url, artifact),
    }


def snippet_facts(artifact: Artifact, runtime: str) -> SnippetFacts:
    """What the script of a build depends on."""
    manifest = ExportManifest.from_artifact(artifact)
    return SnippetFacts(
        build=f"{artifact.model_id} {artifact.precision}",
        runtime=runtime,
        hint="bf16" if uses_bf16(artifact.precision) else "f32",
        exact=overflow_warning(artifact) is not None,
        batch=manifest.fixed_batch,
        background=manifest.background,
        probabilities=manifest.gives_probabilities,
    )


def _license(url: str, artifact: Artifact) -> str:
    with reading(url) as session:
        weights = session.get(Weights, artifact.weights_digest)
    origin = weights.origin if weights is not None and weights.origin else "not recorded"
    return (
        "The script and the JSON files of this package are under Apache-2.0, as SENet Workbench "
        "is.\n"
        "The weights in model.onnx are under the license of their publisher, which the workbench "
        "does not know.\n"
        f"Model: {artifact.model_id}. Origin of the weights: {origin}.\n"
        "Read that license before you deploy the model or pass it on.\n"
    )


def _readme(artifact: Artifact, facts: SnippetFacts, figures: str, note: str) -> str:
    where = label_of(facts.runtime)
    return (
        f"# {artifact.model_id} {artifact.precision} in {where}\n\n"
        f"Build {artifact.digest}\n\n"
        "```bash\npip install -r requirements.txt\npython classify.py image.jpg\n```\n\n"
        "`classify.py` prepares an image with the steps of `preprocessing.json`, exactly as the "
        "figures below were measured, and prints the five best classes of `labels.json`. It reads "
        "8-bit images. `provenance.json` says how every figure was made.\n\n"
        f"## Measured\n\n{figures}\n## License\n\n{note}"
    )
