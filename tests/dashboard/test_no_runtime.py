"""The real pages, in a process of their own, classify without torch and without a runtime."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from engine.classify.predict import Classifier
from engine.config import REPOSITORY
from engine.excitations.per_image import Excitations
from tests.support import rows
from tests.support.foreign import FOREIGN
from tests.support.tiny import store_build, tiny_se_model

PAGES = """
import json, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
from dashboard.components.classify import excitations as excitations_view
from engine.jobs import dispatcher

dispatcher.ensure_dispatcher = lambda: False
image, weights = Path(sys.argv[1]), sys.argv[2]
drawn = []
draw = excitations_view.draw_chart
excitations_view.draw_chart = lambda gates, mean: (drawn.append(gates), draw(gates, mean))
app = AppTest.from_file("dashboard/app.py", default_timeout=120).run()
problems = [str(one.value) for one in app.exception]


def visit(name):
    app.switch_page(f"app_pages/{name}.py").run()
    problems.extend(str(one.value) for one in (*app.exception, *app.error))


for path in sorted(Path("dashboard/app_pages").glob("*.py")):
    if path.stem != "run":  # of one run, and there is none
        visit(path.stem)
visit("new_run")
app.button_group(key="weights").set_value("From a file").run()
app.text_input(key="weights_file_path").set_value(weights).run()
problems.extend(str(one.value) for one in (*app.exception, *app.error))
text = [str(one.value) for kind in (app.warning, app.info, app.caption) for one in kind]
visit("classify")
app.multiselect(key="builds").set_value(["onnx/tiny fp32"]).run()
app.file_uploader(key="photographs").upload(image.name, image.read_bytes(), "image/png").run()
app.toggle(key="excitations").set_value(True).run()
problems.extend(str(one.value) for one in (*app.exception, *app.error))
(table,) = app.dataframe
print(json.dumps({
    "problems": problems,
    "text": text,
    "classes": table.value["class"].tolist(),
    "probabilities": table.value["probability"].tolist(),
    "gates": [values.tolist() for values in drawn[0].values],
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""


def test_pages_classify_without_a_runtime_in_their_process(url: str, tmp_path: Path) -> None:
    rows.add_measured_model(url)
    build = store_build(url, tiny_se_model())
    stream = io.BytesIO()
    pixels = np.random.default_rng(3).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    (tmp_path / "noise.png").write_bytes(stream.getvalue())
    torch.save({"something.weight": torch.zeros(2)}, tmp_path / "strange.pth")
    done = subprocess.run(
        [sys.executable, "-c", PAGES, str(tmp_path / "noise.png"), str(tmp_path / "strange.pth")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert not told["problems"]
    assert "streamlit" in told["modules"]
    assert not set(FOREIGN) & set(told["modules"])
    assert any("The tensors match neither" in text for text in told["text"])
    here = Classifier(build).classify(stream.getvalue())
    assert told["classes"] == [guess.name for guess in here.predictions]
    assert np.allclose(
        told["probabilities"], [100 * guess.probability for guess in here.predictions]
    )
    expected = Excitations(build).image_weights(stream.getvalue())
    for values, gates in zip(told["gates"], expected, strict=True):
        assert np.allclose(values, gates, atol=1e-6)
