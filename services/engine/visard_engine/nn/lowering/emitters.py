"""The closed list of layers and functions (docs/models.md): what emits each, and the arguments that it knows.

tests/engine/nn/test_arguments.py reads torch's own signatures: what they have and this list does not must be refused by name.
"""

import operator

import torch
from torch import nn
from torch.nn import functional

from visard_engine.nn.lowering import activations, arithmetic, norm, pooling, weighted
from visard_engine.nn.lowering.emitter import Emitters, known

_CONVOLUTION = "input weight bias stride padding dilation groups"
_NORM = "num_features eps momentum affine track_running_stats"
_WINDOW = "kernel_size stride padding"
_AVERAGE = {"ceil_mode": False, "count_include_pad": True, "divisor_override": None}

_conv = known(weighted.conv_function, _CONVOLUTION)
_relu = known(activations.relu, "input")
_clamp = known(activations.clamp, "input min max")
_hardtanh = known(activations.hardtanh, "input min_val max_val inplace")
_leaky = known(activations.leaky_relu, "input negative_slope inplace")
_mean = known(pooling.mean, "input dim keepdim", dtype=None)
_add = known(arithmetic.add, "input other", alpha=1)
_subtract = known(arithmetic.subtract, "input other", alpha=1)
_multiply = known(arithmetic.multiply, "input other")
_divide = known(arithmetic.divide, "input other", rounding_mode=None)
_flatten = known(arithmetic.flatten, "input start_dim end_dim")
_reshape = known(arithmetic.reshape, "input *")

EMITTERS = Emitters(
    {
        nn.Conv2d: known(
            weighted.conv,
            "in_channels out_channels kernel_size stride padding dilation groups bias",
            padding_mode="zeros",
        ),
        nn.Linear: known(weighted.linear, "in_features out_features bias"),
        nn.BatchNorm2d: known(norm.batch_norm, _NORM),
        nn.BatchNorm1d: known(norm.batch_norm, _NORM),
        nn.ReLU: known(activations.relu, "inplace"),
        nn.ReLU6: known(activations.relu6, "inplace"),
        nn.Hardtanh: known(activations.hardtanh, "min_val max_val inplace min_value max_value"),
        nn.Hardsigmoid: known(activations.hardsigmoid, "inplace"),
        nn.Hardswish: known(activations.hardswish, "inplace"),
        nn.PReLU: known(activations.prelu, "num_parameters init"),
        nn.LeakyReLU: known(activations.leaky_relu, "negative_slope inplace"),
        nn.MaxPool2d: known(pooling.max_pool, f"{_WINDOW} dilation ceil_mode", return_indices=False),
        nn.AdaptiveMaxPool2d: known(pooling.adaptive_max_pool, "output_size", return_indices=False),
        nn.AvgPool2d: known(pooling.average_pool, f"{_WINDOW} ceil_mode count_include_pad", divisor_override=None),
        nn.AdaptiveAvgPool2d: known(pooling.adaptive_average_pool, "output_size"),
        nn.ZeroPad2d: known(arithmetic.zero_pad, "padding"),
        nn.Flatten: known(arithmetic.flatten, "start_dim end_dim"),
        nn.Identity: known(arithmetic.nothing, ""),
        nn.Dropout: known(arithmetic.nothing, "p inplace"),
        nn.Dropout2d: known(arithmetic.nothing, "p inplace"),
    },
    {
        functional.conv2d: _conv,
        torch.conv2d: _conv,
        functional.pad: known(arithmetic.pad, "input pad mode value"),
        **dict.fromkeys((torch.relu, torch.relu_, "relu", "relu_"), _relu),
        functional.relu: known(activations.relu, "input inplace"),
        functional.relu6: known(activations.relu6, "input inplace"),
        **dict.fromkeys((functional.hardtanh, functional.hardtanh_), _hardtanh),
        functional.hardsigmoid: known(activations.hardsigmoid, "input inplace"),
        functional.hardswish: known(activations.hardswish, "input inplace"),
        **dict.fromkeys((functional.leaky_relu, functional.leaky_relu_), _leaky),
        **dict.fromkeys((torch.clamp, torch.clamp_, "clamp", "clamp_"), _clamp),
        functional.max_pool2d: known(pooling.max_pool, f"input {_WINDOW} dilation ceil_mode", return_indices=False),
        functional.avg_pool2d: known(pooling.average_pool, f"input {_WINDOW}", **_AVERAGE),
        functional.adaptive_avg_pool2d: known(pooling.adaptive_average_pool, "input output_size"),
        torch.mean: _mean,
        "mean": _mean,
        **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _add),
        **dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), _subtract),
        **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), _multiply),
        **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div", "div_"), _divide),
        functional.normalize: known(norm.normalize, "input p dim", eps=1e-12, out=None),
        torch.cat: known(arithmetic.concat, "tensors dim"),
        torch.flatten: _flatten,
        "flatten": _flatten,
        "view": _reshape,
        "reshape": _reshape,
        "contiguous": known(arithmetic.nothing, "input memory_format"),
        functional.dropout: known(arithmetic.nothing, "input p training inplace"),
    },
)
