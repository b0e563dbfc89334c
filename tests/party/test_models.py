"""A model in memory is the one in the store, however loading and changes overlap; programs that could never run are refused."""

import asyncio
import hashlib
from typing import Any

import numpy as np
import pytest
from visard_common.errors import InvalidArgument
from visard_engine.describe import AT_ONCE, LARGEST_OPENING, at_once, largest_opening
from visard_engine.nn.operations.activations import Relu, Truncate
from visard_engine.nn.operations.arithmetic import Flatten
from visard_engine.nn.operations.base import Operation
from visard_engine.nn.operations.pooling import SumPool
from visard_engine.nn.program import OPEN, Program
from visard_engine.warm import program as small_program
from visard_party import models as models_module
from visard_party.models import ModelShelf, parse_program
from visard_party.store.contents import ModelRecord
from visard_wire.secret import Secret
from visard_wire.v1 import common_pb2

SMALL = small_program(31)


class OneModel:
    """A store of one model, whose version grows."""

    version = 1

    async def model(self, name: str) -> ModelRecord:
        weights = Secret(np.zeros(SMALL.weight_count, np.uint32).tobytes())
        return ModelRecord(name, SMALL.to_json(), self.version, 0, weights)


class NoStock:
    """A stock that is asked in vain."""

    def want(self, *_: Any) -> None:
        """Nothing."""


async def model_that_changes_while_it_is_loaded__should_be_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = OneModel()
    shelf = ModelShelf(store, NoStock(), 1)  # type: ignore[arg-type]
    prepare, loads = models_module._prepare, 0

    def slowly(record: ModelRecord) -> Any:
        nonlocal loads
        loads += 1
        if loads == 1:  # the renewal is committed after the record was read
            store.version = 2
            loop.call_soon_threadsafe(shelf.forget, ["net"])
        elif loads == 2:
            loop.call_soon_threadsafe(shelf.forget, ())  # a reference changed, no model
        return prepare(record)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(models_module, "_prepare", slowly)
    assert (await shelf.get("net")).version == 2
    assert loads == 2


async def costs_of_layers__should_be_told_on_request_only() -> None:
    published = await ModelShelf(OneModel(), NoStock(), 1).get("net")  # type: ignore[arg-type]
    short, whole = published.info(), published.info(layers=True)
    assert not short.cost.layers
    assert len(whole.cost.layers) >= len(SMALL.operations)
    assert not published.info().cost.layers, "asked after the other"
    del whole.cost.layers[:]
    assert short == whole


def header(program: Program) -> common_pb2.UploadHeader:
    data = program.to_json()
    request = common_pb2.Request(program_digest=hashlib.sha256(data).digest())
    return common_pb2.UploadHeader(program=data, request=request)


def opening(*operations: Operation, side: int = 16) -> Program:
    return Program(61, (1, side, side), 8, operations, {}, OPEN)


def program__should_be_taken_as_it_is() -> None:
    assert parse_program(header(SMALL)) == SMALL


def program_without_a_kit__should_be_refused() -> None:
    """A kit's corrections are what shares are tested with: there must be some."""
    with pytest.raises(InvalidArgument, match=r"header\.program: sections"):
        parse_program(header(opening(SumPool(0, (2, 2), (2, 2)), Flatten(1))))


def program_whose_opening_is_no_message__should_be_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"header\.program: layers of at most"):
        parse_program(header(opening(Relu(0, 2), SumPool(1, (16, 16), (16, 16)), side=2560)))


def images_at_once__should_fit_into_one_message() -> None:
    assert at_once(SMALL) == AT_ONCE
    large = opening(Truncate(0, 2), SumPool(1, (16, 16), (16, 16)), side=1600)
    assert largest_opening(large) == 8 * 1600 * 1600
    assert at_once(large) == LARGEST_OPENING // largest_opening(large) == 2
