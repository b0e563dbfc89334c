"""A reader of ONNX files, as far as networks with block-wise quantised weights need it: nothing in a file is run.

A quantised matrix is integers q, scales s and zero points z; each block of integers along one axis shares a scale and a
zero point, and weight = (q - z) s. Source: ONNX operators, DequantizeLinear, version 21.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError

from visard.owner.networks.dlib_format import WeightFileError

_OF_WEIGHTS = ("DequantizeLinear", "Reshape", "Constant")


@dataclass(frozen=True)
class Graph:
    """The numbers of a file and the operations that work on the input, both by name."""

    arrays: Mapping[str, npt.NDArray[Any]]
    attributes: Mapping[str, Mapping[str, Any]]
    operations: list[str]

    @classmethod
    def read(cls, data: bytes) -> "Graph":
        """Parse a file that carries its weights itself; raises WeightFileError."""
        try:
            graph = onnx.load_from_string(data).graph
            arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
            attributes = {
                node.name: {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute} for node in graph.node
            }
        except (DecodeError, ValueError, TypeError, OSError) as error:
            raise WeightFileError("ONNX file: cut off, damaged or of another format") from error
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise WeightFileError(f"ONNX file, {name}: NaN or infinity")
        return cls(arrays, attributes, [node.op_type for node in graph.node if node.op_type not in _OF_WEIGHTS])

    def array(self, name: str) -> npt.NDArray[Any]:
        """Numbers as they lie in the file; raises WeightFileError."""
        if name not in self.arrays:
            raise WeightFileError(f"ONNX file: no {name}")
        return self.arrays[name]

    def number(self, node: str, attribute: str) -> float:
        """An attribute of an operation; raises WeightFileError."""
        return float(cast(float, self._attribute(node, attribute)))

    def geometry(self, node: str) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Stride, padding and groups of a convolution; raises WeightFileError where it pads unevenly or is dilated."""
        strides, pads, dilations = (tuple(self._attribute(node, name)) for name in ("strides", "pads", "dilations"))
        if pads[: len(pads) // 2] != pads[len(pads) // 2 :] or set(dilations) != {1}:
            raise WeightFileError(f"ONNX file, {node}: equal padding on both sides and no dilation expected")
        return strides, pads[: len(pads) // 2], int(self._attribute(node, "group"))

    def weights(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """Quantised weights as real numbers of a shape; raises WeightFileError."""
        integers, scales, zeros = (self.array(f"{name}_{part}") for part in ("quantized", "scales", "zero_point"))
        node = f"{name}_quantized_node"
        axis, block = int(self._attribute(node, "axis")), int(self._attribute(node, "block_size"))
        if integers.size != prod(shape) or len(integers) != shape[0] or not 0 <= axis < integers.ndim or block < 1:
            raise WeightFileError(f"ONNX file, {name}: {integers.shape} integers do not fill {shape}")
        blocks = list(integers.shape)
        blocks[axis] = -(-blocks[axis] // block)  # the last one may be shorter
        if tuple(blocks) != scales.shape or scales.shape != zeros.shape or integers.dtype.kind not in "iu":
            raise WeightFileError(f"ONNX file, {name}: a scale and a zero point for each {block} integers expected")
        of_each = np.arange(integers.shape[axis]) // block
        scale, zero = (np.take(part.astype(np.float64), of_each, axis) for part in (scales, zeros))
        return cast(npt.NDArray[np.float64], ((integers - zero) * scale).reshape(shape))

    def _attribute(self, node: str, name: str) -> Any:
        if name not in self.attributes.get(node, {}):
            raise WeightFileError(f"ONNX file: no {name} of {node}")
        return self.attributes[node][name]
