"""The wheel, installed into an empty environment, and its types."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Maximum lines of integration, and their columns.
MAX_LINES, MAX_COLUMNS = 12, 100

def run(*command, cwd=ROOT, env=None):
    command = [str(part) for part in command]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    # A copy: building leaves nothing in the source.
    source = tmp_path_factory.mktemp("source") / "python"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns("__pycache__", "dist", ".*"))
    shutil.copy(ROOT.parents[2] / "LICENSE", source / "LICENSE")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=source)
    run(sys.executable, "-m", "twine", "check", "--strict", *out.iterdir())
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def empty(wheel, tmp_path_factory):
    """The Python of an environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv")
    python = folder / "venv/bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check", wheel)
    return python


def test_wheel_has_code_types_and_license_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "latchkey_sdk/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"latchkey_sdk"}
    assert not [name for name in names if "test" in name or name.endswith(".pyc")]


def test_empty_environment_imports_it_with_httpx_alone(empty):
    assert run(empty, "-c", "from latchkey_sdk import AsyncLatchkey, Latchkey; print(Latchkey)").strip()
    run(empty, "-c", "import latchkey_sdk.simple_salesforce")
    wanted = "import importlib.metadata as m; print([r for r in m.requires('latchkey-sdk') if 'extra' not in r])"
    assert run(empty, "-c", wanted).strip() == "['httpx<1,>=0.27']"


def test_types_are_strict_and_complete(empty):
    run(sys.executable, "-m", "pyright", "--pythonpath", sys.executable)
    # It looks for the package in the Python that PATH has.
    path = f"{empty.parent}{os.pathsep}{os.environ['PATH']}"
    verify = [sys.executable, "-m", "pyright", "--ignoreexternal", "--verifytypes", "latchkey_sdk"]
    assert "completeness score: 100%" in run(*verify, cwd=empty.parent, env={**os.environ, "PATH": path})


def test_source_is_python_3_10():
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("examples/*.py")]
    assert len(files) > 10
    for file in files:
        ast.parse(file.read_text(), feature_version=(3, 10))


def test_example_has_at_most_twelve_lines():
    source = (ROOT / "examples/records.py").read_text()
    body = source.split('"""', 2)[2].splitlines()
    lines = [line for line in body if line.strip() and not line.startswith(("import ", "from ", "#"))]
    assert len(lines) <= MAX_LINES
    assert all(len(line) <= MAX_COLUMNS for line in lines)
