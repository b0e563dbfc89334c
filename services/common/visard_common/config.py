"""Configuration: one frozen model a service, read from a TOML file, then from the environment.

``--config FILE`` or VISARD_CONFIG names the file; a directory named by ``--secrets`` overrides its fields, with files like
visard_store, as Kubernetes mounts them; and VISARD_LISTEN, VISARD_TLS__CA and so on override both.
"""

import argparse
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from visard_common.address import PATTERN, Address
from visard_common.tls import Tls


class ServiceConfig(BaseSettings):
    """Fields that every service has."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="VISARD_", env_nested_delimiter="__", toml_file=None
    )

    listen: str = Field(pattern=PATTERN, description="host:port to listen on")
    health_listen: Address | None = Field(default=None, description="host:port without TLS: gRPC health, nothing else")
    metrics_listen: Address | None = Field(default=None, description="host:port without TLS: /metrics for Prometheus")
    traces: Address | None = Field(
        default=None, description="host:port without TLS: an OpenTelemetry collector (OTLP over gRPC); extra tracing"
    )
    tls: Tls
    reflection: bool = Field(default=False, description="offer gRPC reflection, for grpcurl")
    max_calls: int = Field(default=1024, ge=16, le=65536, description="calls and streams of all kinds at a time")
    max_calls_per_caller: int = Field(
        default=128, ge=4, le=65536, description="of these, calls of one certificate's role and name; services aside"
    )
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    drain_seconds: float = Field(default=20.0, gt=0, le=300, description="time for calls in flight when stopping")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments go before the environment, that before the directory of secrets, and that before the file."""
        return init_settings, env_settings, file_secret_settings, TomlConfigSettingsSource(settings_cls, _file)


Config = TypeVar("Config", bound=ServiceConfig)
_file: Path | None = None


def load(cls: type[Config], argv: list[str]) -> Config:
    """The configuration; a wrong field ends the process with a line that names it."""
    parser = argparse.ArgumentParser(description=cls.__doc__)
    parser.add_argument("--config", type=Path, default=os.environ.get("VISARD_CONFIG"), help="TOML file")
    parser.add_argument("--secrets", type=Path, help="directory with a file a secret field, like visard_store")
    parser.add_argument("--print-config", action="store_true", help="show the configuration as JSON and end")
    options = parser.parse_args(argv)
    path = options.config
    if path is not None and not Path(path).is_file():
        sys.exit(f"configuration: there is no file {path}")
    if options.secrets is not None and not options.secrets.is_dir():
        sys.exit(f"configuration: there is no directory {options.secrets}")
    try:
        config = read(cls, Path(path) if path is not None else None, _secrets_dir=options.secrets)
        if options.print_config:
            print(shown(config))
            sys.exit()
        _check_roots(config.tls)
        return config
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        sys.exit(f"configuration: {problems}")


def _check_roots(tls: Tls) -> None:
    """Here, and not with the fields: what is configured can be looked at where the files are not."""
    if tls.roots is not None:
        try:
            tls.trust()
        except OSError as error:
            sys.exit(f"configuration: tls.roots: {error.filename}: {error.strerror}")
        except ValueError as error:
            sys.exit(f"configuration: tls.roots: {error}")


def shown(config: ServiceConfig) -> str:
    """The configuration as JSON: defaults, file and environment together. Files of keys are named and not read."""
    return json.dumps(_without_secrets(config.model_dump(mode="json")), indent=2)


def _without_secrets(value: Any) -> Any:
    """The same, with the password of every URI hidden."""
    if isinstance(value, dict):
        return {key: _without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item) for item in value]
    return _hide(value) if isinstance(value, str) else value


def _hide(text: str) -> str:
    """A text without what its URIs keep secret: everything between the user's name and the last @, and odd options."""
    text = re.sub(r"(://[^:@/]*):.*@", r"\1:***@", text, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*(?:password|secret|token|mechanismproperties)[^=&]*=)[^&]*", r"\1***", text, flags=re.I)


def read(cls: type[Config], path: Path | None, **overrides: Any) -> Config:
    """The configuration in a file and the environment; raises pydantic.ValidationError."""
    global _file  # noqa: PLW0603 -- pydantic-settings takes the file from the class, which must not change for others
    _file = path
    try:
        return cls(**overrides)
    finally:
        _file = None
