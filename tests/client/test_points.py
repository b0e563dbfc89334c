"""Points are read, put together and checked before anybody is asked; a client's own are for every call that names none."""

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from visard import certs, cli
from visard.errors import FailedPrecondition, InconsistentAnswer, InvalidRequest, NotFound, SealError
from visard.owner import bring, origins
from visard.points import Points, changed, check, stated
from visard.results import OperatingPoint
from visard.sync import SyncClient
from visard_common import errors as faults
from visard_wire.v1 import common_pb2, gateway_pb2

from tests.cells import label
from tests.client.double import Double, chip, connected, serving

BEFORE = Points(
    {"default": 0.8, "FMR_1E3": 0.9, "FMR_1E4": 0.8, "FMR_1E5": 0.7},
    {"default": 1e-4, "FMR_1E3": 1e-3, "FMR_1E4": 1e-4, "FMR_1E5": 1e-5},
)
FRESH = Points({"FMR_1E3": 1.0, "FMR_1E4": 0.9}, {"FMR_1E3": 1e-3, "FMR_1E4": 1e-4})


def report(folder: Path, **thresholds: float) -> Path:
    file = folder / "report.json"
    file.write_text(json.dumps({"calibration": {"thresholds": thresholds}}))
    return file


def cosine__should_be_that_of_the_distance() -> None:
    a, b = np.array([0.6, 0.8]), np.array([1.0, 0.0])
    point = OperatingPoint("default", float(np.linalg.norm(a - b)), None)
    assert point.cosine == pytest.approx(a @ b)


def points_of_a_report__should_have_the_rates_that_they_are_called_after(tmp_path: Path) -> None:
    found = stated(report(tmp_path, FMR_1E3=0.9, FMR_1E4=0.8), ["FMR_1E4=0.75", "mine=0.5"])
    assert found.distances == {"FMR_1E3": 0.9, "FMR_1E4": 0.75, "mine": 0.5}
    assert found.rates == {"FMR_1E3": 1e-3}, "what somebody has named is not measured"


def default_of_a_report__should_be_another_name_of_its_point(tmp_path: Path) -> None:
    file, thresholds = tmp_path / "report.json", {"FMR_1E3": 0.9, "FMR_1E4": 0.8}
    file.write_text(json.dumps({"calibration": {"thresholds": thresholds, "default": "FMR_1E4"}}))
    found = stated(file, [])
    assert (found.distances, found.rates["default"]) == (thresholds | {"default": 0.8}, 1e-4)
    assert stated(file, ["default=0.5"]).distances["default"] == 0.5
    file.write_text(json.dumps({"calibration": {"thresholds": thresholds, "default": None}}))
    assert "default" not in stated(file, []).distances


def points_that_are_not_named__should_stay_and_the_default_go_with_its_point() -> None:
    after = changed(BEFORE, FRESH)
    assert after.distances == {"default": 0.9, "FMR_1E3": 1.0, "FMR_1E4": 0.9, "FMR_1E5": 0.7}
    assert after.rates == BEFORE.rates
    alone = changed(BEFORE, FRESH, only=True)
    assert alone.distances == {"default": 0.9, "FMR_1E3": 1.0, "FMR_1E4": 0.9}
    mine = changed(BEFORE, Points({"default": 0.5}))
    assert (mine.distances["default"], mine.distances["FMR_1E4"], "default" in mine.rates) == (0.5, 0.8, False)
    other = changed(Points({"default": 0.6}), Points({"FMR_1E3": 0.7}))
    assert other.distances == {"default": 0.6, "FMR_1E3": 0.7}, "it was another name of none of these"


def points_that_are_loose_or_unmeasured__should_be_refused() -> None:
    check(BEFORE)
    for points in (Points({"default": 0.8}), Points({"default": 0.8}, {"default": 1.1e-3})):
        with pytest.raises(InvalidRequest, match=r"operating point default: .*allow_loose=True"):
            check(points)


async def points__should_be_sent_as_a_change_of_the_program_that_was_seen(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.info.program_digest = b"p" * 32
        await client.models.info()
        await client.models.set_points("face", BEFORE.distances, BEFORE.rates)
        (request,) = double.attempts["Calibrate"]
        assert (request.operation, request.model) == (common_pb2.OPERATION_CALIBRATE, "face")
        assert request.program_digest == b"p" * 32
        told = {point.name: (point.distance, point.false_match_rate) for point in request.points}
        assert told == {name: (BEFORE.distances[name], BEFORE.rates[name]) for name in BEFORE.distances}
        asked = double.calls["ListModels"]
        await client.models.info()
        assert double.calls["ListModels"] == asked + 1, "what was known of the model is not true any more"


async def points__should_not_be_sent_where_they_are_wrong(folder: Path) -> None:
    async with connected(folder) as (double, client):
        models: Any = client.models
        for arguments, text in (
            (("face", {"default": 0.5}), "operating point default: nobody has measured"),
            (("face", {"strict": 0.5}), "points: one of them named default"),
            (("face", {"default": "far"}), "distance: a number"),
            (("face", [0.5]), "points: distances by name"),
            (("face", {"default": 0.5}, {"other": 0.1}), "rates: false match rates"),
            (("face", {"default": 0.5}, {"default": "rare"}), "false_match_rate: a number"),
        ):
            with pytest.raises(InvalidRequest, match=text):
                await models.set_points(*arguments)
        with pytest.raises(NotFound, match="'other' is not published"):
            await models.set_points("other", {"default": 0.5}, allow_loose=True)
        assert not double.calls["Calibrate"]


async def change_that_a_gateway_makes_up__should_not_be_believed(folder: Path) -> None:
    async with connected(folder) as (double, client):
        kept: list[gateway_pb2.CalibrateResponse] = []
        double.tamper = kept.append
        await client.models.set_points("face", {"default": 0.5}, allow_loose=True)
        double.tamper = lambda response: response.ClearField("results")
        with pytest.raises(InconsistentAnswer):
            await client.models.set_points("face", {"default": 0.5}, allow_loose=True)
        double.tamper = lambda response: response.CopyFrom(kept[0])
        with pytest.raises(SealError):
            await client.models.set_points("face", {"default": 0.5}, allow_loose=True)


async def clients_point__should_be_for_every_call_that_names_none(folder: Path) -> None:
    async with connected(folder, operating_point="FMR_1E5") as (double, client):
        double.table, double.bits = ["ann"], [True]
        await client.verify("ann", chip(1))
        await client.compare(chip(1), chip(2))
        await client.identify(chip(1))
        await client.verify("ann", chip(1), operating_point="FMR_1E3")
        await client.enrol("ann", [chip(1)])
        client.operating_point = ""
        await client.identify(chip(1))
        with pytest.raises(InvalidRequest, match="operating_point"):
            client.operating_point = 3  # type: ignore[assignment]
    named = [received.request.operating_point for received in double.received]
    assert named == ["FMR_1E5", "FMR_1E5", "FMR_1E5", "FMR_1E3", "", ""]


async def answers__should_say_which_point_decided_as_all_three_parties_say(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.table, double.bits = ["ann"], [True]
        assert (await client.identify(chip(1))).operating_point == "FMR_1E4"
        assert (await client.verify("ann", chip(1))).operating_point == "FMR_1E4"
        assert (await client.compare(chip(1), chip(2))).operating_point == "FMR_1E4"
        double.spoil = lambda outcomes: setattr(outcomes[1], "operating_point", "FMR_1E3")
        with pytest.raises(InconsistentAnswer, match="different operating points"):
            await client.identify(chip(1))


async def gallery_that_is_too_large__should_be_searched_only_when_told(folder: Path) -> None:
    async with connected(folder) as (double, client):
        double.table, double.bits = ["ann"], [True]
        double.faults = [faults.FailedPrecondition("request.allow_large_gallery: too many")]
        with pytest.raises(FailedPrecondition, match="allow_large_gallery"):
            await client.identify(chip(1))
        await client.identify(chip(1), allow_large_gallery=True)
    assert [received.request.allow_large_gallery for received in double.received] == [False, True]


async def blocking_client__should_set_points_and_have_one_of_its_own(folder: Path) -> None:
    def work(connection: Any) -> None:
        with SyncClient(connection, operating_point="FMR_1E5") as client:
            client.models.set_points("face", BEFORE.distances, BEFORE.rates)
            assert client.verify("ann", chip(1)).operating_point == "FMR_1E4"
            client.operating_point = "FMR_1E3"
            assert client.operating_point == "FMR_1E3"
            client.identify(chip(1), allow_large_gallery=True)

    async with serving(folder) as (double, connection):
        double.table = ["ann"]
        await asyncio.to_thread(work, connection)
    named = [(r.request.operating_point, r.request.allow_large_gallery) for r in double.received]
    assert named == [("FMR_1E5", False), ("FMR_1E3", True)]
    assert len(double.attempts["Calibrate"]) == 1


def network(weight: float = 1.0) -> bring.Network:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(weight)
    return bring.Network(module, (1, 2, 2))


async def origin__should_be_known_again_for_this_publication_alone(tmp_path: Path, folder: Path) -> None:
    first, again = (origins.of(network(), q=31, opens=False) for _ in range(2))
    others = [origins.of(network(w), q=q, opens=o) for w, q, o in ((2.0, 31, False), (1.0, 61, False), (1.0, 31, True))]
    assert first == again
    assert len({first, *others}) == 4
    async with connected(folder) as (double, client):
        double.info.published_unix_ms = 5
        before = await client.models.info()
        double.info.published_unix_ms = 6
        (after,) = await client.models.list()
    assert origins.remembered(tmp_path, before) == ""
    origins.remember(tmp_path, before, first)
    assert origins.remembered(tmp_path, before) == first
    assert origins.remembered(tmp_path, after) == "", "somebody has published another one"
    assert stat.S_IMODE((tmp_path / "published.json").stat().st_mode) == 0o600
    (tmp_path / "published.json").write_text("[]")
    assert origins.remembered(tmp_path, before) == ""


MODULE = """
from torch import nn
def make():
    return nn.Sequential(nn.AvgPool2d(30), nn.ReLU(), nn.Flatten())
"""


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[tuple[Path, Double]]:
    certs.init(tmp_path / "certs")
    async with serving(tmp_path / "certs") as (double, connection):
        (tmp_path / "client.toml").write_text(f'gateway = "{connection.gateway}"\ncerts = "certs"\n')
        double.info.points.add(name="default", distance=0.8, false_match_rate=1e-4)
        double.info.points.add(name="FMR_1E4", distance=0.8, false_match_rate=1e-4)
        double.info.published_unix_ms = 7
        yield tmp_path, double


async def ran(monkeypatch: pytest.MonkeyPatch, home: Path, *arguments: object) -> int:
    monkeypatch.setenv("VISARD_HOME", str(home))
    monkeypatch.setattr("sys.argv", ["visard", *map(str, arguments)])
    return await asyncio.to_thread(cli.run)


async def command__should_list_points_and_change_them(
    home: tuple[Path, Double], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, double = home
    assert await ran(monkeypatch, folder, "model", "points", "face") == 0
    assert "FMR_1E4: distance 0.8 (cosine 0.680), 0.01 % of strangers match" in capsys.readouterr().out
    assert await ran(monkeypatch, folder, "model", "points", "face", "--point", "FMR_1E4=0.7") == 2
    assert "(--allow-loose)" in capsys.readouterr().err
    assert (
        await ran(monkeypatch, folder, "model", "points", "face", "--points", report(folder, FMR_1E4=0.7), "--json")
        == 0
    )
    shown = json.loads(capsys.readouterr().out)
    assert (shown["model"], {point["name"] for point in shown["points"]}) == ("face", {"default", "FMR_1E4"})
    (request,) = double.attempts["Calibrate"]
    assert {point.name: point.distance for point in request.points} == {"default": 0.7, "FMR_1E4": 0.7}
    assert await ran(monkeypatch, folder, "model", "points", "other", "--point", "default=0.7") == 2
    assert "'other' is not published" in capsys.readouterr().err
    assert await ran(monkeypatch, folder, "model", "points", "face", "--only") == 2


async def published_again__should_change_the_points_where_the_source_is_the_same_and_compile_nothing(
    home: tuple[Path, Double], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, double = home
    (folder / "net.py").write_text(MODULE)
    again = ("model", "publish", "face", f"{folder}/net.py:make", "--input", "3x150x150")
    monkeypatch.setattr(bring, "compile_network", lambda *_, **__: pytest.fail("it is compiled"))
    assert await ran(monkeypatch, folder, *again) == 2
    assert "published already: visard model points face changes" in capsys.readouterr().err
    points = ("--points", report(folder, FMR_1E4=0.7))
    assert await ran(monkeypatch, folder, *again, *points) == 2
    assert "not from this source" in capsys.readouterr().err
    made = bring.completed(bring.load(f"{folder}/net.py:make"), "3x150x150", [], None)
    async with connected(folder / "certs") as (_, client):
        info = await client.models.info()
    origins.remember(folder, _at(info, 7), origins.of(made, q=31, opens=False))
    assert await ran(monkeypatch, folder, *again, *points) == 0
    assert "only" not in capsys.readouterr().out
    (request,) = double.attempts["Calibrate"]
    assert {point.name: point.distance for point in request.points} == {"default": 0.7, "FMR_1E4": 0.7}


def _at(info: Any, time: int) -> Any:
    return replace(info, published_unix_ms=time)


async def identified__should_be_told_with_the_point_that_decided(
    home: tuple[Path, Double],
    photos: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, double = home
    double.found = [[label(1, "ann")], []]
    asked = ("identify", photos["obama"])
    assert await ran(monkeypatch, folder, *asked) == 0
    assert capsys.readouterr().out == "ann (FMR_1E4)\n"
    monkeypatch.setenv("VISARD_OPERATING_POINT", "FMR_1E5")
    assert await ran(monkeypatch, folder, *asked, "--allow-large-gallery", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["subject"], shown["operating_point"]) == ("ann", "FMR_1E4")
    requests = [received.request for received in double.received]
    assert [(r.operating_point, r.allow_large_gallery) for r in requests] == [("", False), ("FMR_1E5", True)]
