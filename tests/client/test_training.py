"""The thesis' networks are what it describes, train to the same weights each time, and survive folding, files and compiling."""

import functools
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from visard.capture import load_photo
from visard.errors import InvalidRequest
from visard.owner import bring
from visard.owner.evaluation import embed
from visard.owner.evaluation.pairs import read_pairs
from visard.owner.evaluation.sphere import unit
from visard.owner.networks.pairs import Decide
from visard.owner.networks.thesis import (
    CLASSIC_PARAMETERS,
    INPUT_SHAPE,
    NETWORKS,
    PIXEL_MEAN,
    PIXEL_SCALE,
    PairHead,
    classic,
    fold,
)
from visard.owner.training import faces, loop, weights
from visard.uploads import as_planes

STEPS = 12


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def people(shared: Path) -> faces.Faces:
    return faces.read_faces(shared / "data" / "orl")


def train(people: faces.Faces, name: str, by: faces.Split = "image") -> loop.Trained:
    return loop.Trainer(name, people, faces.split(people, by, 0, seed=1), by, steps=STEPS, seed=1).run()


@pytest.fixture(scope="module")
def once(people: faces.Faces) -> Callable[[str], loop.Trained]:
    """A network, trained for the first test that asks."""
    return functools.cache(lambda name: train(people, name))


def classic__should_have_the_thesis_size() -> None:
    assert sum(p.numel() for p in classic().parameters()) == CLASSIC_PARAMETERS == 154_592


def resnet__should_have_eight_layers() -> None:
    layers = [
        m
        for m in NETWORKS["resnet-contrastive"].branch(False).modules()
        if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    assert len(layers) == 8


@pytest.mark.parametrize("name", ["classic-contrastive", "resnet-contrastive"])
def folding__should_keep_the_function(name: str) -> None:
    torch.manual_seed(0)
    branch = NETWORKS[name].branch(True)
    raw = torch.randint(0, 256, (16, *INPUT_SHAPE)).float()
    with torch.no_grad():
        branch.train()(torch.randn(16, *INPUT_SHAPE))  # moves the running statistics from where they start
        expected = branch.eval()((raw - PIXEL_MEAN) / PIXEL_SCALE)
        found = fold(branch, NETWORKS[name].branch(False))(raw)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in NETWORKS[name].branch(False).modules())
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def split_by_image__should_give_everybody_to_every_part(people: faces.Faces) -> None:
    parts = faces.split(people, "image", 3, seed=1)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (300, 50, 50)
    assert sorted(np.concatenate([parts.train, parts.validation, parts.test])) == list(range(400))
    assert all(set(people.people[rows]) == set(range(40)) for rows in (parts.train, parts.validation, parts.test))


def split_by_person__should_share_nobody(people: faces.Faces) -> None:
    parts = [faces.split(people, "person", k, seed=1) for k in range(8)]
    for part in parts:
        seen = [set(people.people[rows]) for rows in (part.train, part.validation, part.test)]
        assert [len(s) for s in seen] == [30, 5, 5]
        assert set.union(*seen) == set(range(40))
    assert sorted(np.concatenate([part.test for part in parts])) == list(range(400))  # everybody is tested once


def pairs__should_be_balanced_and_never_of_an_image_with_itself(people: faces.Faces) -> None:
    rows = faces.split(people, "person", 0, seed=1).test
    found = faces.pairs(people, rows, rows, seed=0)
    assert (found.same.sum(), len(found.same)) == (5 * 45, 2 * 5 * 45)
    assert len(set(zip(found.first, found.second, strict=True))) == len(found.same)
    assert (found.first < found.second).all()
    assert ((people.people[found.first] == people.people[found.second]) == found.same).all()


def contrastive_loss__should_be_its_formula() -> None:
    descriptors = torch.tensor([[0.0, 0.0], [0.3, 0.4], [0.6, 0.0]])
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    # one genuine pair at 0.5; strangers at 0.6 and 0.5
    expected = 0.25 + (0.4**2 + 0.5**2) / 2
    assert float(loop.contrastive(descriptors, same)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.long  # trains each of them twice
@pytest.mark.parametrize("name", sorted(NETWORKS))
def training__should_repeat_itself_and_survive_a_file(
    name: str, people: faces.Faces, once: Callable[[str], loop.Trained], tmp_path: Path
) -> None:
    first, second = once(name), train(people, name)
    for a, b in zip(first.branch.state_dict().values(), second.branch.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert first.curve == second.curve
    assert first.curve[-1].loss < first.curve[0].loss
    weights.save(first, name, tmp_path / "net.safetensors", {"seed": 1})
    loaded = weights.load(tmp_path / "net.safetensors")
    pictures = torch.from_numpy(people.pictures[:3]).float()
    assert torch.equal(loaded.branch(pictures), first.branch(pictures))
    assert (loaded.name, loaded.threshold, loaded.head is None) == (name, first.threshold, first.head is None)


def accuracy_in_the_report__should_be_that_of_the_folded_branch(people: faces.Faces) -> None:
    trained = train(people, "classic-contrastive", "person")
    parts = faces.split(people, "person", 0, seed=1)
    pairs = faces.evaluation_pairs(people, parts, parts.test, "person", seed=1)
    descriptors = trained.branch(torch.from_numpy(people.pictures).float())
    assert descriptors[parts.train].norm(dim=1).max() == pytest.approx(1, abs=1e-3)
    on_sphere = torch.nn.functional.normalize(descriptors)
    found = loop.accuracy(loop.score(on_sphere, pairs, None), pairs, trained.threshold)
    assert found == pytest.approx(trained.test_accuracy, abs=2 / len(pairs.same))  # folding rounds


def saved(trained: loop.Trained, name: str, tmp_path: Path) -> str:
    weights.save(trained, name, tmp_path / "net.safetensors", {})
    return str(tmp_path / "net.safetensors")


def pictures_of(people: faces.Faces, tmp_path: Path) -> Path:
    """A directory of some of them, to calibrate ranges on."""
    for k, picture in enumerate(people.pictures[::20]):
        Image.fromarray(picture[0]).save(tmp_path / f"{k:02}.png")
    return tmp_path


@pytest.mark.parametrize("name", ["classic-contrastive", "resnet-contrastive"])
def trained_branch__should_compile_and_keep_its_descriptors(
    name: str, people: faces.Faces, once: Callable[[str], loop.Trained], tmp_path: Path
) -> None:
    trained = once(name)
    network = bring.load(saved(trained, name, tmp_path))
    compiled = bring.compile_network(network, calibration=pictures_of(people, tmp_path))
    found = embed.by_twin(compiled)(people.pictures[:8])
    expected = trained.branch(torch.from_numpy(people.pictures[:8]).float()).numpy()
    assert np.linalg.norm(unit(found) - unit(expected), axis=1).max() < 0.02
    assert network.points == {"default": trained.threshold}


@pytest.mark.parametrize("name", ["classic-entropy", "resnet-entropy"])
def network_with_a_head__should_judge_a_pair_in_one_run(
    name: str, people: faces.Faces, once: Callable[[str], loop.Trained], tmp_path: Path
) -> None:
    trained = once(name)
    source, calibration = saved(trained, name, tmp_path), pictures_of(people, tmp_path)
    parts = faces.split(people, "image", 0, seed=1)
    pairs = faces.evaluation_pairs(people, parts, parts.test[:4], "image", seed=1)
    expected = loop.score(trained.branch(torch.from_numpy(people.pictures).float()), pairs, trained.head)
    both = np.concatenate([people.pictures[pairs.first], people.pictures[pairs.second]], axis=1)

    scores = bring.load(source, decide=False)
    assert scores.shape == (2, 100, 100)
    np.testing.assert_allclose(embed.by_float(scores.module)(both)[:, 0], expected, atol=1e-4)
    twin = embed.by_twin(bring.compile_network(scores, calibration=calibration, opens=True))(both)[:, 0]
    assert np.abs(twin - expected).max() < 0.05

    decided = embed.by_twin(bring.compile_network(bring.load(source), calibration=calibration, opens=True))(both)[:, 0]
    assert set(decided) <= {0.0, 1.0}  # one bit, whatever the score was
    clear = np.abs(expected) > 0.05
    assert clear.mean() > 0.5
    assert ((decided == 1) == (expected <= 0))[clear].all()


def decision__should_be_a_bit_however_near_the_score() -> None:
    scores = torch.arange(-512, 513)[:, None] / 2**16
    assert torch.equal(Decide()(scores), (scores <= 0).float())


def network_that_judges__should_be_published_with_an_open_output(people: faces.Faces, tmp_path: Path) -> None:
    torch.manual_seed(0)
    head = PairHead().requires_grad_(False)
    trained = loop.Trained(classic().eval().requires_grad_(False), head, 0.0, [], 0.5, 0.5, 1)
    with pytest.raises(InvalidRequest, match="opens=True"):
        bring.compile_network(bring.load(saved(trained, "classic-entropy", tmp_path)))


@pytest.mark.parametrize("by", ["image", "person"])
def list_of_test_pairs__should_name_the_same_images(
    by: faces.Split, people: faces.Faces, shared: Path, tmp_path: Path
) -> None:
    parts = faces.split(people, by, 0, seed=1)
    pairs = faces.evaluation_pairs(people, parts, parts.test, by, seed=1)
    (tmp_path / "pairs.txt").write_text("\n".join(faces.lines(people, pairs)))
    found = read_pairs(tmp_path / "pairs.txt", shared / "data" / "orl")
    assert found.same.tolist() == pairs.same.tolist()
    for k in range(0, len(pairs.same), 97):
        picture = as_planes(load_photo(found.images[found.second[k]]), INPUT_SHAPE)
        assert (picture == people.pictures[pairs.second[k]]).all()


def pickle__should_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(pickle.dumps({"branch": [1.0]}))
    with pytest.raises(InvalidRequest, match=r"net\.safetensors"):
        weights.load(path)


def directory_without_people__should_be_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="a folder for each"):
        faces.read_faces(tmp_path)


def folder_with_a_space__should_be_refused(tmp_path: Path) -> None:
    for k in range(8):
        (tmp_path / f"person {k}").mkdir()
        for image in range(2):
            Image.fromarray(np.full((4, 4), 9 * k, np.uint8)).save(tmp_path / f"person {k}" / f"{image}.png")
    with pytest.raises(InvalidRequest, match="without spaces"):
        faces.read_faces(tmp_path)
