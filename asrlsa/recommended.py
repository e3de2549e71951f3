"""The settings that ``asrlsa bench --recommend`` found best on this machine, kept for ``asrlsa transcribe``.

They are kept by machine (processor, cores, graphics card) and by device, because a home folder may be shared between
machines. They hold no model: they are about the machine.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from asrlsa.compute_types import usual_device
from asrlsa.config import COMPUTE_TYPES, TranscribeOptions

FILE: Final = "recommended.json"
_CPUINFO: Final = Path("/proc/cpuinfo")
_BOARD: Final = Path("/proc/device-tree/model")


@dataclass(frozen=True, slots=True)
class Recommended:
    """Settings for one machine and device.

    Attributes:
        compute_type: See `asrlsa.config.TranscribeOptions`, as the others.
        threads: See there.
        batch_size: See there.
        beam_size: See there; None leaves it to the model, where no other width was tried.
        found: Where they come from, in words: day, model, figures.
    """

    compute_type: str
    threads: int
    batch_size: int
    beam_size: int | None
    found: str = ""


def config_dir() -> Path:
    """Folder of the user's settings: ``$ASRLSA_CONFIG``, or the system's place for them."""
    import platformdirs

    chosen = os.environ.get("ASRLSA_CONFIG")
    return Path(chosen).expanduser() if chosen else platformdirs.user_config_path("asrlsa", appauthor=False)


def store(settings: Recommended, device: str, folder: Path | None = None) -> Path:
    """Keep settings for this machine; those of other machines and devices stay. Returns the file.

    Raises:
        OutputError: It can't be written.
    """
    from asrlsa.output import write_atomic

    path = (folder or config_dir()) / FILE
    known = dict(_read(path))
    devices = known.get(machine_name())
    mine = dict(devices) if isinstance(devices, dict) else {}
    mine[device] = {name: getattr(settings, name) for name in Recommended.__slots__}
    known[machine_name()] = mine
    write_atomic(path, json.dumps(known, indent=2, ensure_ascii=False) + "\n")
    return path


def recommended(device: str = "auto", folder: Path | None = None) -> Recommended | None:
    """Return what is kept for this machine and device; None where nothing is, or the file is damaged.

    Args:
        device: ``cpu``, ``cuda``, or ``auto``: cuda where there is one.
        folder: Folder of the user's settings; None is `config_dir`.
    """
    path = (folder or config_dir()) / FILE
    if not path.exists():
        return None
    devices = _read(path).get(machine_name())
    if not isinstance(devices, dict):
        return None
    found = devices.get(usual_device() if device == "auto" else device)
    try:
        return _checked(found) if isinstance(found, dict) else None
    except (KeyError, TypeError, ValueError):
        return None


def with_recommended(options: TranscribeOptions, folder: Path | None = None) -> tuple[TranscribeOptions, str]:
    """Fill what the user left open with the settings kept for this machine.

    Args:
        options: What the user asked for.
        folder: See `recommended`.

    Returns:
        The options, and one line that says what was taken; an empty line where nothing was.
    """
    found = recommended(options.device, folder)
    if found is None:
        return options, ""
    changes: dict[str, Any] = {}
    words: list[str] = []
    open_: Mapping[str, tuple[object, str]] = {
        "compute_type": ("default", "compute type"),
        "threads": (0, "threads"),
        "batch_size": (0, "batch size"),
        "beam_size": (None, "beam size"),
    }
    for name, (default, label) in open_.items():
        value = getattr(found, name)
        skipped = name == "batch_size" and options.low_memory
        if getattr(options, name) == default and value != default and not skipped:
            changes[name] = value
            words.append(f"{label} {value}")
    if not changes:
        return options, ""
    line = f"settings recommended for this machine: {', '.join(words)} (--no-recommended ignores them)"
    return replace(options, **changes), line


@lru_cache(maxsize=1)
def machine_name() -> str:
    """Name this machine by what decides speed: processor, usable cores, graphics card."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    parts = [_processor(), f"{usable} core{'s' * (usable > 1)}", *_graphics()]
    return ", ".join(parts)


def _processor() -> str:
    try:
        return _BOARD.read_text(encoding="utf-8").rstrip("\0").strip()
    except (OSError, UnicodeDecodeError):
        pass
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(encoding="utf-8"), re.MULTILINE)
        if found is not None:
            return found[1].strip()
    except (OSError, UnicodeDecodeError):
        pass
    if platform.system() == "Darwin":
        said = _said(["sysctl", "-n", "machdep.cpu.brand_string"])
        if said:
            return said[0]
    return platform.processor() or platform.machine() or "unknown processor"


def _graphics() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    return sorted(set(_said(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])))


def _said(command: list[str]) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _checked(found: Mapping[str, Any]) -> Recommended:
    threads, batch = (int(found[name]) for name in ("threads", "batch_size"))
    beam = None if found["beam_size"] is None else int(found["beam_size"])
    kind = str(found["compute_type"])
    if kind not in COMPUTE_TYPES or threads < 0 or not 0 <= batch <= 256 or not 1 <= (beam or 1) <= 20:
        raise ValueError("out of range")
    return Recommended(kind, threads, batch, beam, str(found.get("found", "")))
