"""Fixtures that several test folders share."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

settings.register_profile("asrlsa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", settings.get_profile("asrlsa"), max_examples=5000)
settings.load_profile(os.environ.get("ASRLSA_HYPOTHESIS", "asrlsa"))

os.environ["ASRLSA_CONFIG"] = str(ROOT / ".no-settings")  # what bench --recommend kept on this machine is not for tests

JUDGE_HELP = (
    "the independent CHAT validator is not installed: python -m venv .venv-chat && .venv-chat/bin/pip install "
    "--no-deps batchalign==0.10.7 && .venv-chat/bin/pip install pydantic, or set ASRLSA_CHAT_JUDGE_PYTHON"
)


@pytest.fixture(scope="session")
def judge() -> Iterator[Callable[[str], list[str]]]:
    """A function that gives the independent validator's problems with a CHAT file's text; empty for a valid one.

    Skips where the validator is not installed, fails there when the environment variable CI is set.
    """
    python = Path(os.environ.get("ASRLSA_CHAT_JUDGE_PYTHON") or ROOT / ".venv-chat" / "bin" / "python")
    if not python.exists():
        if os.environ.get("CI"):
            pytest.fail(JUDGE_HELP)
        pytest.skip(JUDGE_HELP)
    server = subprocess.Popen(
        [str(python), str(ROOT / "tests" / "chat" / "judge_server.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )

    def ask(text: str) -> list[str]:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.stdin.write(json.dumps(text) + "\n")
            server.stdin.flush()
            answer = server.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            pytest.fail(f"the CHAT validator in {python} stopped (exit code {server.poll()}); {JUDGE_HELP}")
        return json.loads(answer)

    try:
        assert ask("@UTF8\n") != [], "the validator takes a file without @Begin: it judges nothing"
        yield ask
    finally:
        server.stdin.close()
        server.wait(timeout=30)
        server.stdout.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared recordings; skips where there is none."""
    folder = Path(os.environ.get("ASRLSA_SHARED") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"there are no shared recordings in {folder}; set ASRLSA_SHARED to their folder")
    return folder
