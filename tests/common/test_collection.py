"""A test that would not run is an error, not a silence."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOOK = "from tests.naming import pytest_pycollect_makeitem\n"


def collected(folder: Path, source: str) -> "subprocess.CompletedProcess[str]":
    """A run of pytest over one file, under the project's configuration."""
    (folder / "conftest.py").write_text(HOOK)
    (folder / "test_it.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, f"--rootdir={folder}", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "source",
    [
        "def test_thing():\n    pass\n",
        "async def test_thing():\n    pass\n",
        "def thing_should_work():\n    pass\n",
        "class TestThing:\n    def test_it(self):\n        pass\n",
    ],
)
def test_of_another_name__should_end_the_collection(tmp_path: Path, source: str) -> None:
    ended = collected(tmp_path, source + "\n\ndef other__should_run():\n    pass\n")
    assert ended.returncode == pytest.ExitCode.INTERRUPTED, ended.stdout
    assert "would not run: tests are named subject__should_outcome" in ended.stdout


def helpers_and_tests__should_be_collected_as_ever(tmp_path: Path) -> None:
    ended = collected(
        tmp_path, "def helper():\n    return 1\n\n\ndef one__should_be_one():\n    assert helper() == 1\n"
    )
    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_in_a_file_that_is_not_collected__should_not_exist() -> None:
    files = [path for path in (ROOT / "tests").rglob("*.py") if not path.name.startswith("test_")]
    own = re.findall(r"pytest (tests/\S+\.py)$", (ROOT / "Makefile").read_text(), re.MULTILINE)  # with a make target
    files = [path for path in files if str(path.relative_to(ROOT)) not in own]
    assert len(files) > 10
    lost = [
        f"{path.name}:{node.name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and "__should_" in node.name
    ]
    assert lost == []
