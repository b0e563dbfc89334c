"""What people read is said one way: rates in percent, the SDK's arguments in its errors, the options at the command line."""

import ast
import asyncio
import builtins
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from visard import certs, cli, errors
from visard.cli.app import app
from visard.cli.hints import OPTIONS, told
from visard.connection import Connection
from visard.errors import InvalidRequest, SeveralFaces
from visard.rates import percent

from tests.client.double import Double, serving
from tests.client.test_command_line import commands, run

ROOT = Path(__file__).parents[2]
SDK = ROOT / "client" / "visard"
# command lines of the services' own, which no error has
COMMANDS = {
    "client/visard/cluster.py",
    "services/common/visard_common/config.py",
    "services/wire/generate.py",
}


def sources(*folders: Path) -> list[Path]:
    """Of the SDK without its command line, and of what services answer, which becomes an error of the SDK."""
    files = sorted(path for folder in folders for path in folder.rglob("*.py"))
    return [path for path in files if not {"cli", "v1"} & set(path.relative_to(ROOT).parts)]


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string that is no documentation, parts between braces left out."""
    bare = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inside = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in bare | inside:
            yield node.value


def exceptions(tree: ast.AST) -> Iterator[str]:
    """The texts of exceptions: what stands in a call of a class of that kind."""
    kinds = {name for name, kind in (vars(builtins) | vars(errors)).items() if _is_exception(kind)}
    kinds |= {"CertificatesExist", "WeightFileError", "OtherSettings"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            yield from texts(node)


def _is_exception(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Exception)


def exceptions_of_the_sdk__should_name_no_option_of_the_command_line() -> None:
    found = [text for path in sources(SDK) for text in exceptions(ast.parse(path.read_text()))]
    assert len(found) > 100
    assert [text for text in found if "--" in text] == []


def texts_of_sdk_and_services__should_name_no_option_of_the_command_line() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {text}"
        for path in sources(SDK, ROOT / "services")
        for text in texts(ast.parse(path.read_text()))
        if re.search(r"--[a-z]", text) and str(path.relative_to(ROOT)) not in COMMANDS
    }
    assert found == set()


@pytest.mark.parametrize("argument", sorted(OPTIONS))
def argument_in_an_error__should_have_its_option_at_the_command_line(argument: str) -> None:
    said = "\n".join(text for path in sources(SDK, ROOT / "services") for text in texts(ast.parse(path.read_text())))
    assert f"({argument})" in said
    known = {
        option
        for command in commands(typer.main.get_command(app)).values()
        for p in command.params
        for option in p.opts
    }
    assert set(re.findall(r"--[a-z-]+", OPTIONS[argument])) <= known
    assert told(InvalidRequest(f"a.jpg: so ({argument})")) == f"a.jpg: so ({OPTIONS[argument]})"


def several_faces__should_name_the_option_at_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise SeveralFaces("2 faces found: crop the photo, or choose the largest face (largest=True)")

    monkeypatch.setattr(sys.modules["visard.cli.subjects"], "with_client", failing)
    assert run(monkeypatch, "verify", "ann", "a.jpg") == 2
    assert capsys.readouterr().err.strip().endswith("choose the largest face (--largest)")


def every_command_that_takes_faces__should_take_the_largest_on_request() -> None:
    known = commands(typer.main.get_command(app))
    for name in ("enrol", "verify", "identify", "compare", "upload"):
        assert "--largest" in {option for parameter in known[name].params for option in parameter.opts}


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0, "0 %"), (1.0, "100 %"), (1e-3, "0.1 %"), (0.000936, "0.0936 %"), (1e-7, "0.00001 %")]
)
def rate__should_be_percent_without_an_exponent(rate: float, text: str) -> None:
    assert percent(rate) == text


def every_rate_of_an_evaluation__should_be_percent(capsys: pytest.CaptureFixture[str]) -> None:
    from visard.cli.evaluation import show
    from visard.owner.evaluation import calibration, comparisons, groups, identification, intervals
    from visard.owner.evaluation import report as reports
    from visard.owner.evaluation.attack import Attack, Coverage, Covered
    from visard.owner.evaluation.sphere import unit

    rng = np.random.default_rng(1)
    person = np.repeat(np.arange(60), 5)
    vectors, every = unit(rng.normal(size=(60, 8))[person] + 0.5 * rng.normal(size=(300, 8))), np.ones(300, np.bool_)
    found, drawn = comparisons.compare(vectors, person, every, every, farthest=0.8), intervals.draws(60, resamples=50)
    same, people = np.arange(100) < 50, np.arange(100) % 60
    distances = np.where(same, 0.4, 0.8) + rng.normal(0, 0.1, 100)
    report = reports.Report("face", 50, 50, 300, 60, {})
    listed = intervals.Listed(people, np.where(same, people, (people + 1) % 60), drawn)
    report.figures = {"float": reports.figures(distances, same, listed)}
    points = {"default": 0.8}
    report.points = report.second = {"default": reports.point(found, 0.8, drawn)}
    report.twin = reports.Twin(4, {"default": 0}, 0.001)
    report.calibration = calibration.calibrate(found, drawn, found)
    report.identification = identification.identify(vectors, person, points, {"default": 0.00094}, galleries=2)
    report.groups = groups.differentials(found, ["a", "b"] * 30, points, drawn)
    report.refused_by_mean = report.points["default"].fnmr
    report.secure = reports.Secure(4, "default", report.points["default"].fnmr, 0, 0, 0.5)
    covered = Coverage(0.6, {1: Covered(0.5, 0.307), 5: Covered(0.6, 0.4)}, Covered(0.7, 0.412), 307.0)
    report.attack = Attack(10, 10, 5, 4, 3, False, {"default": covered})
    show(report)
    shown = capsys.readouterr()
    assert "TAR at FAR 1 %" in shown.out
    assert "TAR at FAR 0.1 %" in shown.out
    assert "0.8 (cosine 0.680)" in shown.out
    assert "30.7 %" in shown.out
    assert "at default one image passes as 307 times as many people" in shown.err
    assert all(line.count("%") >= line.count("[") for line in shown.out.splitlines() if "[" in line)
    assert not re.search(r"\d[eE]-\d", shown.out.replace("FMR_1E2", ""))


def point_of_a_model__should_be_shown_in_percent() -> None:
    from visard.cli.models import _point
    from visard.results import OperatingPoint

    assert (
        _point(OperatingPoint("default", 0.544, 1e-3))
        == "default: distance 0.544 (cosine 0.852), 0.1 % of strangers match"
    )
    assert _point(OperatingPoint("default", 0.544, None)) == "default: distance 0.544 (cosine 0.852), never calibrated"


def piped(program: str) -> "subprocess.CompletedProcess[str]":
    """A program whose outputs are pipes, where the environment speaks of a narrow terminal."""
    environment = os.environ | {"COLUMNS": "20", "TERM": "xterm"}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env=environment, check=True
    )


def table_in_a_pipe__should_be_whole() -> None:
    reason, models = "waits for " + "peers, " * 40, [f"model-{k}" for k in range(40)]
    done = piped(
        "from visard.cli.output import out, status_table\n"
        "from visard import received\n"
        "from visard_wire.v1 import gateway_pb2\n"
        f"party = dict(party=0, reason={reason!r}, models=[dict(name=name) for name in {models!r}])\n"
        "out.print(status_table(received.status(gateway_pb2.GetStatusResponse(parties=[party]))))"
    )
    (row,) = (line for line in done.stdout.splitlines() if "waits for" in line)
    assert reason.strip() in row
    assert ", ".join(models) in row
    assert "…" not in done.stdout


def demonstration_in_a_pipe__should_be_whole() -> None:
    done = piped(
        "from pathlib import Path\n"
        "from visard.cli.demo import show\n"
        "from visard.owner.demo import DemoResult\n"
        "from visard.results import PartyCost, Report\n"
        "report = Report(0.5, 0.4, (PartyCost(0, 0.1, 0.1, 0.0, 176, 4.0, 22.1, 100.0),))\n"
        "result = DemoResult(True, False, 'a', True, 0.5, 4.0, 22.1, 176)\n"
        "show(result, [('identify among 2', 'somebody-with-a-long-name' * 5, report)], Path('demo.png'))"
    )
    assert "somebody-with-a-long-name" * 5 in done.stdout
    assert "…" not in done.stdout


def error_in_a_pipe__should_be_one_line() -> None:
    text = "a reason " * 100
    done = piped(f"from visard.cli.output import complain; complain({text!r})")
    assert done.stderr == f"visard: {text.strip()}\n"


def readme__should_say_which_names_are_allowed() -> None:
    page = " ".join((ROOT / "README.md").read_text().split())
    assert (
        "Names of subjects: 1 to 128 of A-Z a-z 0-9 . _ @ -; of models and galleries 1 to 64 of a-z 0-9 . _ -" in page
    )


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[tuple[Path, Double, Connection]]:
    certs.init(tmp_path / "certs")
    async with serving(tmp_path / "certs") as (double, connection):
        (tmp_path / "client.toml").write_text(f'gateway = "{connection.gateway}"\ncerts = "certs"\n')
        yield tmp_path, double, connection


async def health__should_take_the_certificates_of_a_home(
    home: tuple[Path, Double, Connection], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, _, connection = home
    for arguments in (["--home", str(directory)], [connection.gateway, "--home", str(directory)]):
        monkeypatch.setattr(sys, "argv", ["visard", "health", *arguments])
        code = await asyncio.to_thread(cli.run)
        shown = capsys.readouterr()
        assert "does not answer: UNIMPLEMENTED" in shown.err, "the double has no health, and TLS has let us ask"
        assert code == 2


@pytest.mark.parametrize("extra", [["--home", ".", "--certs", "."], ["--certs", "."], ["--home", "nowhere"]])
def health_with_half_of_what_it_needs__should_say_so(
    extra: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "health", *extra) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
