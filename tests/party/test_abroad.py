"""Which deployments an operator has named, and by which authorities: files that are looked at when they are needed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError
from visard import certs
from visard_common.config import read, shown
from visard_common.errors import FailedPrecondition, PermissionDenied
from visard_party.config import Partner, PartyConfig
from visard_party.operations.abroad import Abroad

PARTY = """
listen = "localhost:1"
index = 1
data_dir = "data"
peers = ["localhost:1", "localhost:2", "localhost:3"]
dealer = "localhost:4"
tls = { ca = "ca.pem", cert = "party1.pem", key = "party1.key" }
"""
ROLES = ("party/0", "party/1", "party/2")


def configured(folder: Path, lines: str) -> PartyConfig:
    path = folder / "party1.toml"
    path.write_text(PARTY + lines)
    return read(PartyConfig, path)


def deployments__should_be_read_as_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = "\n".join(f'"{role}" = "{role[-1]}.pem"' for role in ROLES)
    config = configured(tmp_path, f'[export_to.berlin]\n{files}\n[import_from.rome]\nca = "rome.pem"\n')
    assert config.export_to["berlin"].root == {role: Path(f"{role[-1]}.pem") for role in ROLES}
    assert config.import_from["rome"].root == {"ca": Path("rome.pem")}
    assert '"party/1": "1.pem"' in shown(config)
    assert configured(tmp_path, "").export_to == {}
    monkeypatch.setenv("VISARD_EXPORT_TO", '{"rome": {"ca": "rome.pem"}}')
    assert configured(tmp_path, "").export_to["rome"].root == {"ca": Path("rome.pem")}


@pytest.mark.parametrize(
    "lines",
    [
        '[export_to.berlin]\n"party/0" = "0.pem"\n"party/1" = "1.pem"',
        '[export_to.berlin]\nca = "ca.pem"\n"party/0" = "0.pem"',
        '[export_to.berlin]\ngateway = "ca.pem"',
        "[import_from.berlin]",
        '[export_to.Berlin]\nca = "ca.pem"',
        'export_to = "ca.pem"',
    ],
)
def other_tables__should_be_refused(tmp_path: Path, lines: str) -> None:
    with pytest.raises(ValidationError, match=r"export_to|import_from"):
        configured(tmp_path, lines)


def abroad(**pinned: dict[str, Path]) -> Abroad:
    named: dict[str, Any] = {name: Partner(files) for name, files in pinned.items()}
    config = SimpleNamespace(index=1, tls=None, export_to=named, import_from={})
    return Abroad(cast(PartyConfig, config), cast(Any, None))


def who_is_pinned__should_be_looked_up_now(tmp_path: Path) -> None:
    certs.init(tmp_path / "one")
    file = tmp_path / "ca.pem"
    found = abroad(berlin={"ca": file})
    with pytest.raises(FailedPrecondition, match="cannot read who vouches for deployment 'berlin'"):
        found.destination("berlin")
    file.write_bytes((tmp_path / "one" / "ca.pem").read_bytes())
    assert found.destination("berlin").of("party/2")
    with pytest.raises(
        PermissionDenied, match="party 1's operator takes nothing from deployment 'berlin': import_from"
    ):
        found.source("berlin")


def one_root_for_two_parties__should_vouch_for_nobody(tmp_path: Path) -> None:
    certs.init(tmp_path / "one")
    certs.init(tmp_path / "two")
    files = dict(zip(ROLES, (tmp_path / name / "ca.pem" for name in ("one", "one", "two")), strict=True))
    with pytest.raises(FailedPrecondition, match="see its log"):
        abroad(berlin=files).destination("berlin")
