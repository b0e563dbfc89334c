"""Who asks: a caller signs each request with the key of its certificate, and the parties check that.

Without it a party would know the gateway alone, which it does not trust: a gateway could ask about a stolen photo by itself,
or delete in anybody's name. The signature covers all fields of the request and the hash of each sealed share, so it stands for
one request with these shares and these keys for the answers.
"""

from visard_wire.sealing import Context
from visard_wire.statements import Holder, signers
from visard_wire.v1 import common_pb2
from visard_wire.vouching import Trust

_SIGNED = b"visard/v1/caller"


class Signer(Holder):
    """Signs requests with a certificate's key."""

    def sign(self, request: common_pb2.Request) -> None:
        """Say in a request who asks: after its other fields are set."""
        signature = self.signature(_SIGNED + Context.from_request(request).digest)
        request.caller.CopyFrom(common_pb2.Caller(chain=self.chain, signature=signature))


def signed_by(trust: Trust, request: common_pb2.Request) -> list[str]:
    """The URIs in the certificate of who signed a request; raises UntrustedKey, which says what is wrong with it."""
    caller, statement = request.caller, _SIGNED + Context.from_request(request).digest
    return signers(trust, caller.chain, statement, caller.signature, "request")
