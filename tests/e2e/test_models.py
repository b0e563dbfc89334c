"""Anybody's model is published and run through gateway and parties; its output is the plaintext network's, the caller's alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from visard.capture import load_photo
from visard.client import Client, Connection
from visard.cluster import Cluster
from visard.errors import FailedPrecondition, InvalidRequest, NotFound
from visard.owner import bring
from visard.owner import publish as publishing
from visard.owner.networks import demonstrations
from visard.uploads import as_planes
from visard_wire.v1 import common_pb2, gateway_pb2_grpc

from tests.e2e.raw import RawUpload, channel, party_keys, request, signer, stream
from tests.e2e.test_cli import visard

GREY, WIDE, COLOUR = (1, 100, 100), (1, 360, 640), (3, 90, 160)
DEMONSTRATIONS = {
    "convolution": ("convolution", GREY, 7),
    "max-pool": ("max_pool", GREY, 14),
    "relu": ("relu", GREY, 10),
    "sharpen-public": ("sharpen_public", GREY, 7),
    "sharpen": ("sharpen", GREY, 8),
    "sharpen-public-wide": ("sharpen_public", WIDE, 7),
    "sharpen-wide": ("sharpen", WIDE, 8),
    "sharpen-colour": ("sharpen_colour", COLOUR, 8),
}


@pytest.fixture(scope="module")
def published(cluster: Cluster) -> Iterator[Cluster]:
    """Every demonstration, published by its command; withdrawn afterwards."""
    for name, (function, shape, _) in DEMONSTRATIONS.items():
        size = "x".join(map(str, shape))
        source = f"visard.owner.networks.demonstrations:{function}"
        done = visard(cluster, "model", "publish", name, source, "--open-output", "--input", size)
        assert done.returncode == 0, done.stderr
    yield cluster
    for name in DEMONSTRATIONS:
        assert visard(cluster, "model", "delete", name).returncode == 0


def plaintext(function: str, pixels: np.ndarray) -> np.ndarray:
    module = getattr(demonstrations, function)().requires_grad_(False)
    return np.asarray(module(torch.from_numpy(pixels[None]).float())[0])


@pytest.mark.parametrize("name", DEMONSTRATIONS)
def demonstration__should_show_the_plaintext_picture(
    name: str, published: Cluster, photos: dict[str, Path], tmp_path: Path
) -> None:
    function, shape, rounds = DEMONSTRATIONS[name]
    done = visard(published, "run", name, photos["obama"], "-o", tmp_path / "out.png", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rounds"] == rounds
    expected = plaintext(function, as_planes(load_photo(photos["obama"]), shape))
    found = np.asarray(Image.open(tmp_path / "out.png")).astype(int)
    pixels = np.clip(np.rint(expected), 0, 255).astype(int)
    assert np.abs(found - (pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))).max() <= 1


async def numbers__should_be_close_to_the_plaintext_networks(published: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(published.home), model="sharpen") as client:
        answer = await client.run(photos["biden"])
    expected = plaintext("sharpen", as_planes(load_photo(photos["biden"]), GREY))
    assert answer.values.shape == GREY
    assert np.abs(answer.values - expected).max() < 0.02


def report__should_say_what_a_run_costs(published: Cluster) -> None:
    shown = visard(published, "model", "show", "sharpen").stdout
    for line in ("rounds: 8\n", "multiply-adds: 200,000\n", "sent by a party: 0.240 MB", "from measured rates"):
        assert line in shown
    assert "opened to whoever runs it" in shown
    face = visard(published, "model", "show", "face").stdout
    points = "never opened (FMR_1E3, FMR_1E4, default)"
    for line in ("rounds: 111\n", "sent by a party: 7.025 MB", "kit: 12.725 MB", points):
        assert line in face


def output__should_be_named_as_what_it_is(published: Cluster, photos: dict[str, Path], tmp_path: Path) -> None:
    run = ("run", "max-pool", photos["biden"], "-o")
    assert visard(published, *run, tmp_path / "pooled.npy").returncode == 0
    assert np.load(tmp_path / "pooled.npy").shape == (1, 50, 50)
    for name in ("pooled.jpg", "nowhere/pooled.png"):
        refused = visard(published, *run, tmp_path / name)
        assert (refused.returncode, ".png or .npy" in refused.stderr) == (2, True)


async def model_for_matching__should_never_be_opened(cluster: Cluster, photos: dict[str, Path]) -> None:
    async with Client(Connection.from_home(cluster.home)) as client:
        with pytest.raises(FailedPrecondition, match=r"published for matching.*to open its output"):
            await client.run(photos["obama"])
    refused = visard(cluster, "run", "face", photos["obama"], "-o", "never.npy")
    assert (refused.returncode, "published for matching" in refused.stderr) == (2, True)
    assert not Path("never.npy").exists()


async def run_with_an_operating_point__should_be_refused(cluster: Cluster) -> None:
    async with channel(cluster, cluster.address("gateway"), "client") as wire:
        stub = gateway_pb2_grpc.FaceMatchingStub(wire)
        run = request(operation=common_pb2.Operation.OPERATION_RUN, images=1, operating_point="default")
        shares = [np.zeros(3 * 150 * 150, "<u4").tobytes() for _ in range(3)]
        upload = RawUpload(await party_keys(stub), signer(cluster), run, shares=shares)
        with pytest.raises(Exception, match=r"request\.operating_point: .*empty for run"):
            await stub.Run(stream(upload.messages()), timeout=60)


class Small(nn.Module):
    """A face-sized network of two numbers."""

    input_shape = (3, 150, 150)

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.last = nn.AvgPool2d(50), nn.Linear(27, 2)

    def forward(self, x: Tensor) -> Tensor:
        described: Tensor = self.last(torch.flatten(self.pool(x), 1) / 255)
        return described


async def opened_model__should_not_match(cluster: Cluster, photos: dict[str, Path]) -> None:
    compiled = bring.compile_own(Small().eval().requires_grad_(False), Small.input_shape, opens=True)
    async with Client(Connection.from_home(cluster.home, "owner"), model="small") as client:
        await publishing.publish(client, "small", compiled, allow_loose=True)
        try:
            assert (await client.run(photos["obama"])).values.shape == (2,)
            for work in (
                client.enrol("ann", [photos["obama"]]),
                client.compare(photos["obama"], photos["biden"]),
            ):
                with pytest.raises(FailedPrecondition, match=r"published to open its output.*not matched with"):
                    await work
        finally:
            await client.models.withdraw("small")
        assert [model.name for model in await client.models.list()].count("face") == 1  # the others stay listed
        with pytest.raises(NotFound):
            await client.run(photos["obama"])


MODULE = """
from torch import nn
INPUT_SHAPE = (3, 150, 150)
def make():
    return nn.Sequential(nn.AvgPool2d(30), nn.ReLU(), nn.Flatten(), nn.Linear(75, 4))
def refused():
    return nn.Sequential(nn.AvgPool2d(50), nn.GELU())
"""


def own_model__should_match_with_its_weights(cluster: Cluster, photos: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(MODULE)
    torch.manual_seed(0)
    weights = nn.Linear(75, 4).weight.data / 2000
    save_file({"3.weight": weights, "3.bias": torch.zeros(4)}, tmp_path / "net.safetensors")
    source, file = f"{tmp_path}/net.py:make", ("--weights", tmp_path / "net.safetensors")
    calibration = ("--calibration", photos["obama"].parent)
    point = ("--point", "default=0.01", "--point", "lenient=1.9")
    done = visard(
        cluster, "model", "publish", "own", source, *file, *point, *calibration, "--field", "61", "--allow-loose"
    )
    assert done.returncode == 0, done.stderr
    try:
        ask = ("compare", photos["obama"], photos["biden"], "--model", "own")
        assert visard(cluster, *ask).returncode == 1
        assert visard(cluster, *ask, "--operating-point", "lenient").returncode == 0
        assert "q = 61" in visard(cluster, "model", "list").stdout
    finally:
        assert visard(cluster, "model", "delete", "own").returncode == 0
    refused = visard(cluster, "model", "publish", "bad", f"{tmp_path}/net.py:refused", "--open-output")
    assert (refused.returncode, "1: GELU is not supported" in refused.stderr) == (2, True)


def pictures_of_other_channels__should_be_refused() -> None:
    with pytest.raises(InvalidRequest, match="1 or 3 channels"):
        as_planes(np.zeros((4, 4), np.uint8), (2, 4, 4))
