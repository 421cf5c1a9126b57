"""Build files of the vendor in both schemas."""

from __future__ import annotations

from engine.vacc.build_file import BuildFile, parse_build_file
from engine.vacc.yaml_text import parse_yaml

TODAY = """\
name: timm_senet_int8
frontend:
  type: onnx
  checkpoint: /models/legacy_seresnet18.onnx
  dtype: fp32
  shape:
    input.1: [1, 3, 224, 224]
backend:
  type: tvm_vacc
  dtype: int8
  compile:
    cluster_mode: 0
    data_transport_mode: 1
  quantize:
    calibrate_mode: percentile
    calibrate_range: 0.9995
    quantize_per_channel: true
    skip_conv_layers: [4, 0]
graph:
  extra_ops:
    type: softmax
dataset:
  type: tvm
  path: /images/calib
  sampler:
    suffix: JPEG
    get_data_num: 50
  process_ops:
    - type: DecodeImage
    - type: Resize
      size: [256, 256]
    - type: CenterCrop
      crop_size: [224, 224]
    - type: Normalize
      mean: [0.485, 0.456, 0.406]
      std: [0.229, 0.224, 0.225]
    - type: ToTensor
workspace:
  path: ./deploy_weights/
"""
OF_2023 = """\
model:
  name: seresnet50
  inputs:
    input: [1, 3, 224, 224]
  checkpoint: ./onnx/mmcls/seresnet50.onnx
engine:
  type: vacc
  common:
    do_quantization: true
    cluster_mode: 0
  add_extra_ops_to_graph:
    type: null
  calibration:
    quant_mode: kl_divergence
    per_channel: true
dataset:
  path: ./calib
  sampler:
    suffix: JPEG
    get_data_num: 1000
  transform_ops:
    - type: DecodeImage
    - type: Resize
      size: [256, 256]
    - type: CenterCrop
      crop_size: [224, 224]
    - type: Normalize
      div255: false
      mean: [123.675, 116.28, 103.53]
      std: [58.395, 57.12, 57.375]
    - type: ToTensor
workspace:
  work_dir: ./senet/vacc
  enable_ir: false
  save_log: true
"""


def read(text: str) -> BuildFile:
    return parse_build_file(parse_yaml(text, "b.yaml"), "b.yaml")
