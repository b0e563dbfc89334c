"""A model owner's function becomes a module, its weights from safetensors; what is wrong is named, nothing is unpickled."""

import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from visard.cli import main
from visard.errors import InvalidRequest
from visard.owner import bring
from visard.owner.networks import face_resnet, sface
from visard.owner.networks.dlib_format import WeightFileError
from visard.owner.publish import compile_face_model

FILE = """
from torch import nn
INPUT_SHAPE = (1, 8, 8)
VALUE = 3
def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
def number():
    return 5
"""

CUT = """
from torch import nn
INPUT_SHAPE = (1, 8, 8)
CHIP = "dlib-150"
def plain(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
def own():
    module = plain()
    module.chip = "arcface-112"
    return module
def unknown():
    module = plain()
    module.chip = "hologram"
    return module
"""

# factories that go wrong, each in its own way, and what is said
ODD = """
import sys
import torch
from torch import nn
from torch.nn import functional

INPUT_SHAPE = (1, 8, 8)

class Net(nn.Sequential):
    pass

def net(*layers):
    return Net(*(layers or (nn.Flatten(), nn.Linear(64, 2))))

def raises(): raise KeyError("no such\\nlayer")
def leaves(): sys.exit(0)
def takes(size): return net()
def gives_a_class(): return nn.ReLU
def gives_nothing(): pass
def gives_a_state(): return net().state_dict()
def odd_shape():
    module = net()
    module.input_shape = 8
    return module
def shape_of_text():
    module = net()
    module.input_shape = "1x8"
    return module
def scripted(): return Net(torch.jit.script(nn.ReLU()), *net())
def traced(): return torch.jit.trace(net(), torch.zeros(1, 1, 8, 8))
def compiled(): return torch.compile(net(), backend="eager")
def quantized(): return net(torch.ao.nn.quantized.ReLU6())
def fake_quantized(): return net(nn.Flatten(), torch.ao.nn.qat.Linear(64, 2, qconfig=torch.ao.quantization.default_qat_qconfig))
def meta(): return net().to("meta")
def lazy(): return net(nn.Flatten(), nn.LazyLinear(2))
def half(): return net().half()
def complex_(): return net(nn.Flatten(), nn.Linear(64, 2, dtype=torch.complex64))
def mixed(): return net(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 2).double())
class Always(nn.Module):
    def forward(self, x): return functional.dropout(x)
def dropout(): return net(Always())
class Fails(nn.Module):
    def forward(self, x): raise RuntimeError("first line\\nsecond line")
def fails(): return net(Fails())
def locked():
    module = net()
    module.eval = None
    return module
"""

REFUSED = {
    "raises": r"raises\(\) fails: KeyError: 'no such",
    "leaves": r"leaves\(\) fails: SystemExit: 0",
    "takes": r"takes\(\) fails: TypeError: .*missing 1 required",
    "gives_a_class": "must return a torch module, not the class ReLU itself",
    "gives_nothing": "must return a torch module, not NoneType",
    "gives_a_state": "must return a torch module, not OrderedDict",
    "odd_shape": "input: channels, height and width of 1 to 4096 are needed, not 8",
    "shape_of_text": "input: channels, height and width .* not '1x8'",
    "scripted": r"0 \(RecursiveScriptModule\): scripted or traced code",
    "traced": "TopLevelTracedModule: scripted or traced code",
    "compiled": "OptimizedModule: torch.compile has wrapped it",
    "quantized": "0: ReLU6 is not supported",
    "fake_quantized": r"1: Linear is not supported|1\.weight_fake_quant",
    "meta": r"1 \(Linear\): weight is on the meta device",
    "lazy": "cannot be put into evaluation: ValueError: Attempted to use an uninitialized parameter",
    "half": r"1\.weight: numbers of type float16",
    "complex_": r"1\.weight: numbers of type complex64",
    "mixed": "Net: its forward fails on an image of 1x8x8",
    "dropout": r"0 \(dropout\): dropout that is always on",
    "fails": "Net: its forward fails: RuntimeError: first line",
    "locked": "the module cannot be put into evaluation: TypeError",
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(FILE)
    state = {"1.weight": torch.full((2, 64), 1e-3), "1.bias": torch.ones(2)}
    save_file(state, tmp_path / "good.safetensors")
    save_file({"1.weight": torch.ones(2, 64)}, tmp_path / "short.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    torch.save(state, tmp_path / "state.pt")
    return tmp_path


def function__should_make_the_module_with_its_weights(home: Path) -> None:
    network = bring.load(f"{home}/net.py:make", home / "good.safetensors")
    assert network.shape == (1, 8, 8)
    assert not network.module.training
    assert network.module(torch.ones(1, 1, 8, 8))[0].tolist() == pytest.approx([1.064, 1.064])


def module_by_name__should_be_found_too() -> None:
    network = bring.load("visard.owner.networks.demonstrations:sharpen")
    assert network.shape == (1, 100, 100)
    assert sum(p.numel() for p in network.module.parameters()) == 20


@pytest.mark.parametrize(
    ("source", "weights", "text"),
    [
        ("net.py", "good.safetensors", "FILE.py:FUNCTION"),
        ("other.py:make", None, "cannot be imported"),
        ("no.such.module:make", None, "cannot be imported"),
        ("net.py:nothing", None, "has no function nothing"),
        ("net.py:VALUE", None, "has no function VALUE"),
        ("net.py:number", None, "must return a torch module, not int"),
        ("net.py:make", "short.safetensors", r"Missing key.*1\.bias"),
        ("net.py:make", "broken.safetensors", "not a safetensors file"),
        ("net.py:make", "missing.safetensors", "not a safetensors file"),
        ("net.py:make", "state.pt", "never as a pickle"),
        ("good.safetensors", None, "not a network that visard train has written"),
        ("good.safetensors", "good.safetensors", "takes no others"),
    ],
)
def bad_source__should_be_refused(source: str, weights: str | None, text: str, home: Path) -> None:
    named = source if source.startswith("no.") else f"{home}/{source}"
    with pytest.raises(InvalidRequest, match=text):
        bring.load(named, home / weights if weights else None)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning")
def odd_factory__should_end_the_command_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.py").write_text(ODD)
    monkeypatch.setattr("sys.argv", ["visard", "model", "publish", "odd", f"{tmp_path}/odd.py:{name}", "--open-output"])
    monkeypatch.setattr("visard.cli.models.with_client", lambda *_, **__: None)  # nothing of this name is published
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert re.search(REFUSED[name], " ".join(said.err.split()))
    assert "Traceback" not in said.err
    with pytest.raises(InvalidRequest, match=REFUSED[name]) as refused:
        bring.compile_network(bring.load(f"{tmp_path}/odd.py:{name}"), opens=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["raise ValueError('at import')", "import sys; sys.exit(0)", "nonsense(", "1 / 0"])
def file_that_fails__should_be_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(InvalidRequest, match=r"bad\.py: cannot be imported: \w+") as refused:
        bring.load(f"{tmp_path}/bad.py:make")
    assert "\n" not in str(refused.value)


def weights_for_the_meta_device__should_be_refused(home: Path) -> None:
    (home / "odd.py").write_text(ODD)
    with pytest.raises(InvalidRequest, match="the module is on the meta device"):
        bring.load(f"{home}/odd.py:meta", home / "good.safetensors")


@pytest.mark.parametrize("text", ["", "3x112", "3x112x112x1", "0x8x8", "1x9999x9999", "axbxc"])
def bad_shape__should_be_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="input"):
        bring.parse_shape(text)


@pytest.mark.parametrize("pair", ["default", "default=", "=1", "a b=1", "default=-1", "default=nan", "default=2"])
def bad_point__should_be_refused(pair: str) -> None:
    with pytest.raises(InvalidRequest, match="NAME=DISTANCE"):
        bring.parse_points([pair])


def points__should_be_named_distances() -> None:
    assert bring.parse_points(["default=1.1", "FMR_1E3=0.9"]) == {"default": 1.1, "FMR_1E3": 0.9}


def calibration__should_read_a_directory_in_the_models_size(home: Path) -> None:
    for k in range(3):
        picture = np.full((20, 30, 3), 80 * k, np.uint8)
        Image.fromarray(picture).save(home / f"{k}.png")
    network = bring.completed(bring.load(f"{home}/net.py:make", home / "good.safetensors"), "", ["default=1"], None)
    compiled = bring.compile_network(network, calibration=home)
    assert compiled.layers[0].largest_bits == pytest.approx(np.log2(160))  # type: ignore[attr-defined]
    (home / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="no images"):
        bring.compile_network(network, calibration=home / "empty")


def purpose__should_be_chosen() -> None:
    module = nn.Flatten()
    with pytest.raises(InvalidRequest, match="points="):
        bring.compile_own(module, (1, 4, 4), points={"other": 1.0})
    with pytest.raises(InvalidRequest, match="nothing is compared"):
        bring.compile_own(module, (1, 4, 4), points={"default": 1.0}, opens=True)
    with pytest.raises(InvalidRequest, match="gelu is not supported"):
        bring.compile_own(nn.GELU(), (1, 4, 4), opens=True)


def face_network__should_come_with_its_points_and_its_chip() -> None:
    network, small = bring.load(""), bring.load("face-small")
    assert (network.shape, network.chip, network.points) == ((3, 112, 112), "arcface-112", sface.OPERATING_POINTS)
    assert (small.shape, small.chip, small.points) == ((3, 150, 150), "dlib-150", face_resnet.OPERATING_POINTS)
    with pytest.raises(InvalidRequest, match="the face network has its own weights"):
        bring.load("", Path("net.safetensors"))


@pytest.mark.parametrize(("module", "name"), [(sface, "face"), (face_resnet, "face-small")])
def face_network_without_its_weights__should_be_refused(
    module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Path:
        raise WeightFileError("the weights are in a package")

    monkeypatch.setattr(module, "weight_file", missing)
    for compiling in (lambda: bring.load(name), lambda: compile_face_model(network=name)):
        with pytest.raises(InvalidRequest, match="the weights are in a package"):
            compiling()


def model_without_a_source__should_be_the_face_network_of_its_name() -> None:
    assert [bring.source_of(name, "") for name in ("face", "face-small", "door")] == ["face", "face-small", "face"]
    assert bring.source_of("face-small", "net.py:make") == "net.py:make"
    with pytest.raises(InvalidRequest, match="one of face, face-small"):
        compile_face_model(network="dlib")


def chip__should_be_what_the_module_or_its_file_states(home: Path) -> None:
    (home / "cut.py").write_text(CUT)
    assert [bring.load(f"{home}/cut.py:{name}").chip for name in ("plain", "own")] == ["dlib-150", "arcface-112"]
    with pytest.raises(InvalidRequest, match="chip 'hologram' is not known to this client"):
        bring.load(f"{home}/cut.py:unknown")
    compiled = bring.compile_network(bring.completed(bring.load(f"{home}/cut.py:own"), "", ["default=1"], None))
    assert json.loads(compiled.program.to_json())["chip"] == "arcface-112"


def owner__should_have_the_last_word_on_shape_and_points(home: Path) -> None:
    report = home / "evaluation.json"
    report.write_text(json.dumps({"calibration": {"thresholds": {"FMR_1E2": 0.5, "FMR_1E3": 0.4}}}))
    found = bring.completed(bring.load("face-small"), "3x160x160", ["FMR_1E3=0.3"], report)
    assert found.shape == (3, 160, 160)
    assert found.points == {**face_resnet.OPERATING_POINTS, "FMR_1E2": 0.5, "FMR_1E3": 0.3}
    measured = {"default": 1e-4, "FMR_1E2": 1e-2, "FMR_1E4": 1e-4}
    assert found.rates == measured, "nobody has measured what the owner has named"
    fresh = bring.completed(bring.load("face-small"), "", ["FMR_1E4=0.2"], None)
    assert fresh.points["default"] == 0.2, "it is another name of that point"
    with pytest.raises(InvalidRequest, match="height and width are needed"):
        bring.completed(bring.Network(nn.Flatten(), None), "", [], None)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"calibration": null}', '{"calibration": {"thresholds": {"A": "x"}}}']
)
def report_without_calibration__should_be_refused(text: str, home: Path) -> None:
    (home / "evaluation.json").write_text(text)
    with pytest.raises(InvalidRequest, match="not a report of visard evaluate"):
        bring.read_points(home / "evaluation.json")
