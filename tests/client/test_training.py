"""The thesis' networks are what it describes, train to the same weights each time, and survive folding, files and compiling."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from visard.errors import InvalidRequest
from visard.models.thesis import (
    CLASSIC_PARAMETERS,
    INPUT_SHAPE,
    NETWORKS,
    PIXEL_MEAN,
    PIXEL_SCALE,
    PairHead,
    classic,
    fold,
)
from visard.publish import compiler
from visard.training import faces, loop, weights

STEPS = 12


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def people(shared: Path) -> faces.Faces:
    return faces.read_faces(shared / "data" / "orl")


def train(people: faces.Faces, name: str, by: faces.Split = "image") -> loop.Trained:
    return loop.Trainer(name, people, faces.split(people, by, 0, seed=1), by, steps=STEPS, seed=1).run()


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


@pytest.mark.parametrize("name", sorted(NETWORKS))
def training__should_repeat_itself_and_survive_a_file(name: str, people: faces.Faces, tmp_path: Path) -> None:
    first, second = train(people, name), train(people, name)
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
    found = loop.accuracy(loop.score(descriptors, pairs, None), pairs, trained.threshold)
    assert found == pytest.approx(trained.test_accuracy, abs=2 / len(pairs.same))  # folding rounds


@pytest.mark.parametrize("name", ["classic-contrastive", "resnet-contrastive"])
def trained_branch__should_compile_and_keep_its_descriptors(name: str, people: faces.Faces, tmp_path: Path) -> None:
    trained = train(people, name)
    weights.save(trained, name, tmp_path / "net.safetensors", {})
    compiled = weights.compile_branch(weights.load(tmp_path / "net.safetensors"), people.pictures[::20])
    twin = compiler("twin")
    program = compiled.program
    integers = twin.run_twin(program, compiled.weights, people.pictures[:8].astype(np.int64), twin.random_rounding(0))
    expected = trained.branch(torch.from_numpy(people.pictures[:8]).float()).numpy()
    assert np.linalg.norm(integers / 2**program.output.scale - expected, axis=1).max() < 0.02  # type: ignore[attr-defined]


def network_with_a_head__should_be_refused_for_publication(people: faces.Faces) -> None:
    network = weights.Loaded("classic-entropy", classic().eval(), PairHead(), 0.0)
    with pytest.raises(InvalidRequest, match="contrastive"):
        weights.compile_branch(network, people.pictures[:2])


def pickle__should_be_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(pickle.dumps({"branch": [1.0]}))
    with pytest.raises(InvalidRequest, match=r"net\.safetensors"):
        weights.load(path)


def directory_without_people__should_be_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="a folder for each"):
        faces.read_faces(tmp_path)
