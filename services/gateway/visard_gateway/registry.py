"""The service ModelRegistry, for model owners."""

from collections.abc import AsyncIterator

from visard_common.deadline import remaining
from visard_common.limits import CALL_SECONDS
from visard_common.uploads import refusing_politely
from visard_wire.v1 import common_pb2, gateway_pb2, gateway_pb2_grpc

from visard_gateway.callers import Context, caller_of
from visard_gateway.config import GatewayConfig
from visard_gateway.parties import Parties, agreeing
from visard_gateway.relay import Relay

Uploads = AsyncIterator[common_pb2.Upload]


class ModelRegistryServicer(gateway_pb2_grpc.ModelRegistryServicer):
    """Publishing, calibrating and withdrawing, and the list of what is published."""

    def __init__(self, config: GatewayConfig, parties: Parties, relay: Relay) -> None:
        self._config = config
        self._parties = parties
        self._relay = relay

    async def Publish(self, request_iterator: Uploads, context: Context) -> gateway_pb2.PublishResponse:  # noqa: N802
        """Publish a network: its program, and a share of its weights for each party."""
        async with refusing_politely(request_iterator):
            caller, seconds = caller_of(context, "Publish"), remaining(context, CALL_SECONDS)
            responses = await self._relay.handle(request_iterator, common_pb2.OPERATION_PUBLISH, seconds, caller)
        model = agreeing([r.model for r in responses], "the model")
        return gateway_pb2.PublishResponse(model=model, results=[r.result for r in responses])

    async def ListModels(  # noqa: N802
        self, request: gateway_pb2.ListModelsRequest, context: Context
    ) -> gateway_pb2.ListModelsResponse:
        """The models that all three parties have."""
        caller_of(context, "ListModels")
        seconds = remaining(context, self._config.run_timeout)
        ask = gateway_pb2.GetStatusRequest(layers=request.layers)
        found = await self._parties.ask_all(lambda stub, _: stub.GetStatus(ask, timeout=seconds))
        models = [sorted(status.models, key=lambda m: m.name) for status in found]
        agreeing([[_undated(model) for model in some] for some in models], "the models")
        return gateway_pb2.ListModelsResponse(models=models[0])

    async def Calibrate(  # noqa: N802
        self, request: gateway_pb2.CalibrateRequest, context: Context
    ) -> gateway_pb2.CalibrateResponse:
        """Replace a model's operating points."""
        caller, seconds = caller_of(context, "Calibrate"), remaining(context, CALL_SECONDS)
        kind = common_pb2.OPERATION_CALIBRATE
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.CalibrateResponse(results=done.results)

    async def Withdraw(  # noqa: N802
        self, request: gateway_pb2.WithdrawRequest, context: Context
    ) -> gateway_pb2.WithdrawResponse:
        """Remove a model that has no references."""
        caller, seconds = caller_of(context, "Withdraw"), remaining(context, CALL_SECONDS)
        kind = common_pb2.OPERATION_WITHDRAW
        done = await self._relay.change(request.request, kind, seconds, caller, request.envelopes)
        return gateway_pb2.WithdrawResponse(results=done.results)


def _undated(model: common_pb2.ModelInfo) -> common_pb2.ModelInfo:
    """What is compared of a model here. Where it was published at several times the parties refuse to run it, and say why."""
    found = common_pb2.ModelInfo()
    found.CopyFrom(model)
    found.ClearField("published_unix_ms")
    return found
