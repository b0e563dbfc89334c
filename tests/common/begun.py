"""How a service reads its configuration, in this process: a program of its own takes a second to come that far."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import MappingProxyType
from unittest import mock

from visard_common.config import ServiceConfig, load
from visard_dealer.config import DealerConfig
from visard_gateway.config import GatewayConfig
from visard_party.config import PartyConfig

CONFIGS: dict[str, type[ServiceConfig]] = {"dealer": DealerConfig, "gateway": GatewayConfig, "party": PartyConfig}


def begun(
    service: str, *options: str, environment: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.CompletedProcess[str]":
    """The end of a service that is told ``options``: its status and what it says, 0 and nothing where it would go on to serve."""
    code: object = 0
    out, err = StringIO(), StringIO()
    with mock.patch.dict(os.environ, environment), redirect_stdout(out), redirect_stderr(err):
        try:
            load(CONFIGS[service], list(options))
        except SystemExit as end:
            code = end.code
    status, last = (1, f"{code}\n") if isinstance(code, str) else (int(str(code or 0)), "")
    arguments: Sequence[str] = [service, *options]
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue() + last)
