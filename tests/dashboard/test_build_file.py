"""vamc build files on the pages: one fills the form, and every build can be had as one."""

from __future__ import annotations

from pathlib import Path

import onnx
from streamlit.testing.v1 import AppTest

from dashboard.components.run_form.build_file import build_file_remarks
from dashboard.components.run_form.prefill import widget_values
from db.enums import Precision
from engine.vacc.build_file import parse_build_file
from engine.vacc.requests import build_request
from engine.vacc.yaml_text import parse_yaml
from tests.support.build_files import OF_2023, TODAY
from tests.support.pages import opened
from tests.support.tiny import store_build, tiny_se_model


def filled(values: dict) -> AppTest:
    app = opened("new_run")
    for key, value in values.items():
        app.session_state[key] = value
    app.run()
    assert not app.exception
    return app


def test_the_form_asks_for_what_the_file_says(url: str, tmp_path: Path) -> None:
    model = tmp_path / "seresnet50.onnx"
    model.write_bytes(b"x")
    for text in (TODAY, OF_2023):
        today, old = "/models/legacy_seresnet18.onnx", "./onnx/mmcls/seresnet50.onnx"
        checkpoint = today if text is TODAY else old
        asked = parse_build_file(
            parse_yaml(text.replace(checkpoint, str(model)), "b.yaml"), "b.yaml"
        )
        request = build_request(asked).request
        app = filled(widget_values(request))
        assert app.text_input("onnx_path").value == str(model)
        assert app.selectbox("calibration_mode").value == str(asked.mode)
        assert app.toggle("softmax").value is asked.softmax
        assert app.text_input("keep_in_float").value == ", ".join(map(str, asked.keep_in_float))
        assert app.number_input("calibration_images").value == asked.images
        assert app.text_input("pre_scale").value == ("1/255" if text is TODAY else "1")
        assert asked.preprocess is not None
        mean = [float(word) for word in app.text_input("pre_mean").value.split()]
        assert tuple(mean) == asked.preprocess.mean


def test_what_has_no_effect_is_said() -> None:
    text = TODAY.replace("calibrate_mode", "alibrate_mode")
    asked = parse_build_file(parse_yaml(text, "b.yaml"), "b.yaml")
    kinds = [kind for kind, _ in build_file_remarks(asked, "b.yaml")]
    assert kinds == ["success", "warning", "ignored", "ignored", "ignored", "ignored"]


def test_every_build_is_offered_as_a_build_file(url: str) -> None:
    store_build(url, tiny_se_model(), Precision.FP16, model_id="onnx/my net")

    def page() -> None:
        from dashboard import queries
        from dashboard.components.run_form.build_file import show_build_file_download

        show_build_file_download(queries.builds()[0])
        show_build_file_download(None)

    app = AppTest.from_function(page).run()
    assert not app.exception
    (button,) = app.get("download_button")
    assert button.proto.label == "vamc build file"


def test_an_upload_fills_the_form_and_a_wrong_one_says_why(url: str, tmp_path: Path) -> None:
    model = tmp_path / "seresnet50.onnx"
    model.write_bytes(b"x")
    app = filled({})
    text = TODAY.replace("/models/legacy_seresnet18.onnx", str(model))
    text = text.replace("/images/calib", str(tmp_path))
    app.file_uploader("build_file").upload("b.yaml", text.encode(), "text/yaml").run()
    assert not app.exception
    assert app.text_input("onnx_path").value == str(model)
    assert app.pills("precisions").value == ["int8"]
    assert any("concerns the vendor" in str(one.value) for one in app.caption)
    assert app.button("build_file_register").label == "Register these images"
    app.file_uploader("build_file").upload("c.yaml", b"name: !!python/name:os.system x", "x").run()
    assert any("never executed" in str(one.value) for one in app.error)


def test_a_file_with_a_path_that_is_not_there_fills_everything_else(
    url: str, tmp_path: Path
) -> None:
    app = filled({})
    app.file_uploader("build_file").upload("old.yaml", OF_2023.encode(), "text/yaml").run()
    assert not app.exception
    assert any("Filled in from old.yaml" in plain(one) for one in app.success)
    assert any("./onnx/mmcls/seresnet50.onnx is not on this machine" in plain(one)
               for one in app.error)  # fmt: skip
    assert app.text_input("onnx_path").value == "./onnx/mmcls/seresnet50.onnx"
    assert app.text_input("pre_scale").value == "1"
    assert app.button("queue").disabled
    model = tmp_path / "onnx" / "mmcls" / "seresnet50.onnx"
    model.parent.mkdir(parents=True)
    onnx.save(tiny_se_model(), model)
    app.text_input("build_file_folder").set_value(str(tmp_path)).run()
    assert app.text_input("onnx_path").value == str(model)
    assert not any("seresnet50.onnx is not on" in plain(one) for one in app.error)
    app.file_uploader("build_file").upload("bad.yaml", b"name: [", "text/yaml").run()
    assert app.button("queue").disabled
    assert any("bad.yaml does not fill in the form" in plain(one) for one in app.error)


def plain(element: object) -> str:
    return str(getattr(element, "value", "")).replace("\\", "")
