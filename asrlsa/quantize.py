"""The quantize verb: a model in fewer bits, and proof of what that cost."""

from __future__ import annotations

import dataclasses
import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asrlsa.compute_types import CPU_TYPES, runs_as, supported, usual_device
from asrlsa.conversion import adapters
from asrlsa.conversion.cached import merged
from asrlsa.conversion.folders import building, read_whisper, write_ctranslate2
from asrlsa.conversion.quantized import TYPES
from asrlsa.errors import OutputError, UsageError
from asrlsa.model_card import CARD_NAME, ModelCard, read_card, write_card
from asrlsa.models import HUB_NAMES, adapter_base, find_folder
from asrlsa.output import claim
from asrlsa.trials import size_of
from asrlsa.verification import Silent, Told, Verification, Verified, verify

if TYPE_CHECKING:
    from asrlsa.conversion.folders import Whisper

__all__ = ["TARGETS", "TYPES", "Quantized", "Verification", "Verified", "quantize"]

TARGETS: Final = ("here", "cpu", "cuda", "any")
_FILES: Final = frozenset(
    f"{CARD_NAME} asrlsa-starter.json config.json generation_config.json model.bin preprocessor_config.json "
    "tokenizer.json tokenizer_config.json vocabulary.json vocabulary.txt .gitattributes README.md LICENSE".split()
)


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantised model.

    Attributes:
        folder: Where it lies; None where it passed its limits and was not put there.
        kind: Type of its weights.
        parameters: Number of parameters.
        disk: Bytes of its folder.
        disk_before: Bytes of the folder that it was made from, without an adapter's own.
        runs_as: Compute type that CTranslate2 takes for it on this machine.
        notes: Plain sentences for the user.
        verified: What ``verify`` measured, or None.
    """

    folder: Path | None
    kind: str
    parameters: int
    disk: int
    disk_before: int
    runs_as: str
    notes: tuple[str, ...]
    verified: Verified | None


@dataclass(frozen=True, slots=True)
class _Source:
    """What is quantised: the model in memory, the folder that its weights are in, its card."""

    whisper: Whisper
    folder: Path
    card: ModelCard


class _RegressedError(Exception):
    """Ends the building of a folder that is not to be put in place."""


def quantize(
    model: str | Path,
    out: Path,
    kind: str,
    *,
    target: str = "here",
    overwrite: bool = False,
    offline: bool = False,
    check: Verification | None = None,
    told: Told | None = None,
) -> Quantized:
    """Write a model for CTranslate2 with weights of another type.

    The folder has everything that faster-whisper and asrlsa need. It takes its place in one step when it is whole and,
    where it is checked, keeps its limits; whatever ends the run before that leaves ``out`` as it was.

    Args:
        model: Name, folder in CTranslate2's or transformers' format, or folder of an adapter, which is merged into
            its base in float32 first.
        out: Folder for the result.
        kind: One of `TYPES`.
        target: What it shall run on: ``here`` (this machine), ``cpu``, ``cuda``, or ``any`` without a check.
        overwrite: Replace an older model in ``out``.
        offline: Never ask a model hub.
        check: How to measure what it cost; None measures nothing.
        told: Hears about progress.

    Raises:
        UsageError: The type can't run fast on the target, ``out`` is in use, or an argument makes no sense.
        ModelError: The model can't be had, is damaged or is quantised already.
        MediaError: A recording of the check can't be read.
        OutputError: ``out`` can't be written.
    """
    notes = check_target(kind, target)
    source = _source(model, offline)
    _check_out(out, source.folder, Path(model), overwrite)
    if check is not None:
        check.prepare()
    listener = told or Silent()
    here = runs_as(kind, supported(usual_device()))
    verified = None
    parameters = sum(array.size for array in source.whisper.state.values())
    sizes = {"parameters": parameters, "disk_before": size_of(source.folder)}
    try:
        with _place(out) as folder:
            listener.stage(f"writing {kind}")
            write_ctranslate2(source.whisper, folder, kind)
            write_card(folder, dataclasses.replace(source.card, compute_type=kind))
            disk = size_of(folder)
            if check is not None:
                with tempfile.TemporaryDirectory(prefix=f".building-{out.name}-", dir=out.parent) as beside:
                    float32 = Path(beside) / "float32"
                    float32.mkdir()
                    listener.stage("writing float32 to compare with")
                    write_ctranslate2(source.whisper, float32, "float32")
                    write_card(float32, source.card)
                    verified = verify(check, float32, folder, kind, listener)
                if verified.regressed:
                    raise _RegressedError
    except _RegressedError:
        return Quantized(None, kind, disk=disk, runs_as=here, notes=notes, verified=verified, **sizes)
    except OSError as error:
        advice = "free some disk space" if error.errno == errno.ENOSPC else "write elsewhere with -o"
        raise OutputError(f"{out}: can't be written ({error.strerror or error}); {advice}") from None
    return Quantized(out, kind, disk=disk, runs_as=here, notes=notes, verified=verified, **sizes)


def check_target(kind: str, target: str) -> tuple[str, ...]:
    """Refuse a type that does not run fast on the target; return what the user should know else.

    Raises:
        UsageError: It does not, or type or target are unknown.
    """
    if kind not in TYPES:
        raise UsageError(f"type {kind!r} is not possible: choose {', '.join(TYPES)}")
    if target not in TARGETS:
        raise UsageError(f"--for {target!r}: choose {', '.join(TARGETS)}")
    device = target if target in ("cpu", "cuda") else usual_device()
    have = CPU_TYPES if target == "cpu" else supported(device)
    local = supported(usual_device())
    if kind in have or target in ("cuda", "any"):
        if kind in local:
            return ()
        return (f"this machine can't run {kind} fast: CTranslate2 loads it as {runs_as(kind, local)} here",)
    what = {"cpu": "a CPU" if target == "cpu" else "this CPU", "cuda": "this GPU"}[device]
    why = "has no fast arithmetic for it" if device == "cpu" else "is too old for it"
    best = next(t for t in ("int8_float16", "float16", "int8", "float32") if t in have)
    raise UsageError(
        f"{kind} can't run fast on {what}, which {why}: CTranslate2 would turn it into {runs_as(kind, have)} whenever "
        f"it is loaded. Choose --type {best}; to make it for a machine with a GPU, add --for cuda (--for any makes it "
        "without a check)"
    )


def _source(model: str | Path, offline: bool) -> _Source:
    """Read the model, merged where it is an adapter."""
    folder = Path(model).expanduser()
    if folder.is_dir() and adapters.is_adapter(folder):
        base = adapter_base(folder, offline=offline)
        return _Source(merged(folder, base, "float32"), base, read_card(folder) or ModelCard())
    home = find_folder(model, offline=offline)
    whisper = read_whisper(home)
    card = read_card(home)
    if card is None:
        name = str(model).removeprefix("openai/whisper-")
        card = ModelCard(base=name, base_sha256=whisper.sha256) if name in HUB_NAMES else ModelCard()
    return _Source(whisper, home, card)


def _check_out(out: Path, source: Path, given: Path, overwrite: bool) -> None:
    """Refuse a folder that must not be replaced."""
    target = out.resolve()
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; give a folder")
    for path in (source, given):
        if path.exists() and path.resolve().is_relative_to(target):
            raise UsageError(f"{out}: holds the model that is quantised; give another folder with -o")
    if not out.exists() or not any(out.iterdir()):
        return
    if not overwrite:
        raise UsageError(f"{out}: exists already; give another folder with -o, or --overwrite to replace it")
    others = sorted(path.name for path in out.iterdir() if path.name not in _FILES or path.is_dir())
    if others:
        raise UsageError(
            f"{out}: holds {others[0]}, which is no part of a model, so it is not replaced; remove it first"
        )


@contextmanager
def _place(out: Path) -> Iterator[Path]:
    """Give a folder to write into that becomes ``out``; runs for one ``out`` exclude each other."""
    with claim(out) as mine:
        if not mine:
            raise UsageError(f"{out}: another run is writing it now")
        for left in out.parent.glob(f".building-{escape(out.name)}-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        with building(out, replace=True) as folder:
            yield folder
