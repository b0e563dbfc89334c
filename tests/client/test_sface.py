"""The torch port of SFace computes what its graph computes under OpenCV, and a file of other shape or content is refused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn
from visard.capture import capture, chip_pixels
from visard.owner.networks import calibration, face_resnet, sface
from visard.owner.networks.dlib_format import WeightFileError

AGREEMENT = 1e-5  # of descriptors whose length is about 5


@pytest.fixture(scope="module")
def graph() -> onnx.ModelProto:
    """The file's graph."""
    return onnx.load(str(sface.weight_file()))


def descriptors__should_agree_with_opencv(graph: onnx.ModelProto, tmp_path: Path) -> None:
    """OpenCV 5 takes the listed weights for inputs that somebody must set, so they go from the list; it wants blue first."""
    runnable = onnx.ModelProto()
    runnable.CopyFrom(graph)
    del runnable.graph.input[1:]
    (tmp_path / "sface.onnx").write_bytes(runnable.SerializeToString())
    recognizer = cv2.FaceRecognizerSF.create(str(tmp_path / "sface.onnx"), "")
    pictures = calibration.patterns(sface.INPUT_SHAPE)[[0, 5, 12]]
    blue_first = [np.ascontiguousarray(picture.transpose(1, 2, 0)[:, :, ::-1]) for picture in pictures]
    expected = np.concatenate([recognizer.feature(picture) for picture in blue_first])
    found = sface.load()(torch.from_numpy(pictures).float()).numpy()
    assert found.shape == (3, sface.DESCRIPTOR_SIZE)
    assert np.abs(found - expected).max() < AGREEMENT


def network__should_have_27_convolutions() -> None:
    assert sum(isinstance(module, nn.Conv2d) for module in sface.SFace().modules()) == 27


@pytest.mark.parametrize("cut", [0, 3, 1000, 5_000_000])
def truncated_file__should_be_refused(cut: int, tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes(sface.weight_file().read_bytes()[:cut])
    with pytest.raises(WeightFileError, match="ONNX file"):
        sface.load(tmp_path / "cut.onnx")


def _without_an_operation(graph: onnx.GraphProto) -> None:
    del graph.node[-1]


def _without_an_array(graph: onnx.GraphProto) -> None:
    del graph.initializer[_index(graph, "bn1_beta")]


def _of_another_shape(graph: onnx.GraphProto) -> None:
    _replace(graph, "conv_3_conv2d_weight_quantized", np.zeros((64, 128), np.int8))


def _of_other_blocks(graph: onnx.GraphProto) -> None:
    _replace(graph, "conv_3_conv2d_weight_scales", np.ones((128, 2), np.float32))


def _with_a_nan(graph: onnx.GraphProto) -> None:
    _replace(graph, "fc1_gamma", np.full(128, np.nan, np.float32))


def _with_another_input(graph: onnx.GraphProto) -> None:
    _replace(graph, "scalar_op1", np.zeros(1, np.float32))


def _with_another_stride(graph: onnx.GraphProto) -> None:
    (node,) = (node for node in graph.node if node.name == "conv_3_dw_conv2d")
    (strides,) = (attribute for attribute in node.attribute if attribute.name == "strides")
    strides.ints[:] = [1, 1]


def _replace(graph: onnx.GraphProto, name: str, values: np.ndarray) -> None:
    graph.initializer[_index(graph, name)].CopyFrom(onnx.numpy_helper.from_array(values, name))


def _index(graph: onnx.GraphProto, name: str) -> int:
    return [tensor.name for tensor in graph.initializer].index(name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_an_operation, "operations expected"),
        (_without_an_array, "no bn1_beta"),
        (_of_another_shape, "conv_3_conv2d_weight"),
        (_of_other_blocks, "conv_3_conv2d_weight"),
        (_with_a_nan, "fc1_gamma"),
        (_with_another_input, "127.5"),
        (_with_another_stride, "conv_3_dw"),
    ],
)
def damaged_file__should_be_refused_with_what_is_wrong(
    change: Callable[[onnx.GraphProto], None], said: str, graph: onnx.ModelProto, tmp_path: Path
) -> None:
    changed = onnx.ModelProto()
    changed.CopyFrom(graph)
    change(changed.graph)
    (tmp_path / "other.onnx").write_bytes(changed.SerializeToString())
    with pytest.raises(WeightFileError, match=said):
        sface.load(tmp_path / "other.onnx")


def drawn_faces__should_stretch_the_network_as_photos_do(photos: dict[str, Path]) -> None:
    """It is calibrated on them: descriptors of patterns are a third as long, and a photo's would not fit."""
    network = sface.load()
    pictures = calibration.pictures(sface.INPUT_SHAPE, sface.CHIP)
    assert (calibration.patterns(face_resnet.INPUT_SHAPE) == calibration.pictures((3, 150, 150), "dlib-150")).all()
    chips = [chip_pixels(capture(photo), sface.CHIP).transpose(2, 0, 1) for photo in photos.values()]
    drawn, found = (network(torch.from_numpy(some).float()).norm(dim=1) for some in (pictures[:4], np.stack(chips)))
    assert len(pictures) == 8
    assert found.max() < 1.3 * drawn.max()
    assert drawn.min() > 10
