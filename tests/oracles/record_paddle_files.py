"""Record small files as Paddle writes them, in an environment with paddlepaddle 2.6.2 or 3.3.1.

    python -m tests.oracles.record_paddle_files

Writes into recorded/paddle-VERSION: a three-layer network's .pdparams in each protocol, and its
inference model with and without a final softmax. Its weights are seeded by structured name.
"""

from __future__ import annotations

from pathlib import Path

import paddle
from paddle import ParamAttr, nn

from tests.support.seeded import seeded_weights


class Small(nn.Layer):
    """A convolution, its normalization and a linear layer, with named parameters."""

    def __init__(self, softmax: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 3, weight_attr=ParamAttr("small_weights"), bias_attr=False)
        self.norm = nn.BatchNorm(
            4,
            param_attr=ParamAttr("bn_small_scale"),
            bias_attr=ParamAttr("bn_small_offset"),
            moving_mean_name="bn_small_mean",
            moving_variance_name="bn_small_variance",
        )
        self.out = nn.Linear(
            4, 5, weight_attr=ParamAttr("fc6_small"), bias_attr=ParamAttr("fc6_offset")
        )
        self.softmax = softmax

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.out(self.norm(self.conv(x)).mean([2, 3]))
        return nn.functional.softmax(y) if self.softmax else y


def build(softmax: bool) -> Small:
    """Return the network with its seeded weights."""
    with paddle.utils.unique_name.guard():
        network = Small(softmax)
    for name, parameter in network.state_dict().items():
        parameter.set_value(seeded_weights(name, tuple(parameter.shape)))
    network.eval()
    return network


def forget_paths(pdmodel: Path) -> None:
    """Take the Python stack of each operator, paths of this machine, out of a .pdmodel."""
    paddle.enable_static()
    program = paddle.static.Program.parse_from_string(pdmodel.read_bytes())
    for operator in program.global_block().ops:
        operator.desc.remove_attr("op_callstack")
    pdmodel.write_bytes(program.desc.serialize_to_string())
    paddle.disable_static()


def main() -> None:
    """Write all files."""
    folder = Path(__file__).parent / "recorded" / f"paddle-{paddle.__version__}"
    folder.mkdir(parents=True, exist_ok=True)
    state = build(softmax=False).state_dict()
    for protocol in (2, 3, 4):
        paddle.save(state, str(folder / f"protocol{protocol}.pdparams"), protocol=protocol)
    image = paddle.static.InputSpec([None, 3, 8, 8], "float32")
    for name, softmax in (("logits", False), ("softmax", True)):
        static = paddle.jit.to_static(build(softmax), input_spec=[image], full_graph=True)
        paddle.jit.save(static, str(folder / name))
    for pdmodel in folder.glob("*.pdmodel"):
        forget_paths(pdmodel)


if __name__ == "__main__":
    main()
