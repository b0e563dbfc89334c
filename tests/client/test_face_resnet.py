"""The torch port of dlib's network computes what dlib's own binary computes, and a damaged weight file is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from visard.owner.networks import face_resnet
from visard.owner.networks.dlib_format import WeightFileError


def descriptors__should_agree_with_dlib(shared: Path) -> None:
    reference = np.load(shared / "reference" / "face_resnet_descriptors.npz")
    chips = torch.from_numpy(reference["chips"]).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        found = face_resnet.load()(chips).numpy()
    assert found.shape == (27, face_resnet.DESCRIPTOR_SIZE)
    assert np.abs(found - reference["descriptors"]).max() < 1e-4


def network__should_have_29_convolutions() -> None:
    assert sum(isinstance(m, nn.Conv2d) for m in face_resnet.FaceResNet().modules()) == 29


@pytest.mark.parametrize("cut", [0, 3, 100, 400, 20_000, 5_000_000])
def truncated_file__should_be_refused(cut: int) -> None:
    with pytest.raises(WeightFileError):
        face_resnet.read_weights(face_resnet.weight_file().read_bytes()[:cut])


@pytest.mark.parametrize("position", [4, 337, 345, 19_390])
def damaged_file__should_be_refused(position: int) -> None:
    data = bytearray(face_resnet.weight_file().read_bytes())
    data[position] ^= 0x7F
    with pytest.raises(WeightFileError):
        face_resnet.read_weights(bytes(data))
