"""What may import what, and that the command answers at once: heavy packages load when they are used, not before."""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "torch ctranslate2 onnxruntime faster_whisper scipy numpy jiwer meeteval av pocketsphinx huggingface_hub tokenizers"
)
HELP = "from asrlsa.cli import main; sys.argv = ['asrlsa', '--help']; main()"


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("code", ["import asrlsa", "import asrlsa.types, asrlsa.chat.parser", HELP])
def test_nothing_heavy_is_imported(code):
    report = f"import atexit, sys\natexit.register(lambda: print('LOADED', *set({HEAVY.split()}) & set(sys.modules)))\n"
    result = python(report + code)
    assert result.stdout.splitlines()[-1] == "LOADED", result.stdout


def test_the_check_above_would_see_a_heavy_import():
    result = python(f"import sys, numpy\nprint(*set({HEAVY.split()}) & set(sys.modules))")
    assert "numpy" in result.stdout.split()


def test_help_is_quick():
    def seconds() -> float:
        start = time.perf_counter()
        python("import sys; " + HELP)
        return time.perf_counter() - start

    assert statistics.median(seconds() for _ in range(3)) < 1.0


def test_floors_import_downwards_only():
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    assert command is not None, "import-linter is not installed: pip install -e '.[dev]'"
    result = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:]


def test_every_module_stands_on_a_floor():
    """A module that pyproject.toml forgets is on no floor, and nothing would keep it from importing upwards."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contract = text.split("[[tool.importlinter.contracts]]", 1)[1]
    top = {p.stem for p in (ROOT / "asrlsa").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert sorted(name for name in top - {"__init__", "__main__"} if f"asrlsa.{name}" not in contract) == []
