"""Which configurations a benchmark runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from asrlsa.config import COMPUTE_TYPES
from asrlsa.engines import ENGINES, lacking
from asrlsa.errors import UsageError
from asrlsa.trials import CONTEXTS, Trial


@dataclass(frozen=True, slots=True)
class Matrix:
    """Every value of every dimension; all are combined.

    Attributes:
        models: Names or folders.
        engines: ``asrlsa``, or of `asrlsa.engines.ENGINES`.
        compute_types: CTranslate2's, or ``default``.
        beam_sizes: Widths of the search.
        batch_sizes: Windows decoded together; None is the engine's own choice.
        threads: CPU cores; 0 is all.
        contexts: ``auto`` or ``full``; see `asrlsa.trials.Trial`.
        device: ``auto``, ``cpu`` or ``cuda``.
        language: Language spoken, or ``auto``.
        low_memory: Run asrlsa as ``transcribe --low-memory`` does.
    """

    models: tuple[str, ...]
    engines: tuple[str, ...] = ("asrlsa",)
    compute_types: tuple[str, ...] = ("default",)
    beam_sizes: tuple[int, ...] = (1,)
    batch_sizes: tuple[int | None, ...] = (None,)
    threads: tuple[int, ...] = (0,)
    contexts: tuple[str, ...] = ("auto",)
    device: str = "auto"
    language: str = "auto"
    low_memory: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: A dimension is empty or a value is not possible; the message names it.
        """
        if not self.models:
            raise UsageError("no model: give the names or folders of one or more")
        _check("compute type", self.compute_types, COMPUTE_TYPES)
        _check("context", self.contexts, CONTEXTS)
        _check("engine", self.engines, ("asrlsa", *ENGINES))
        _check("device", (self.device,), ("auto", "cpu", "cuda"))
        _check_range("beam size", self.beam_sizes, 1, 20)
        _check_range("batch size", tuple(n for n in self.batch_sizes if n is not None), 1, 256)
        _check_range("threads", self.threads, 0, 1024)


def configurations(matrix: Matrix) -> tuple[list[Trial], list[str]]:
    """Return what is to be run, each configuration once, and in a line each what is left out and why.

    Raises:
        UsageError: Nothing is left.
    """
    trials: dict[Trial, None] = {}
    notes: dict[str, None] = {}
    for engine in dict.fromkeys(matrix.engines):
        reason = lacking(engine) if engine != "asrlsa" else ""
        if reason:
            notes[f"{reason}: left out"] = None
            continue
        for trial in _combined(matrix, engine):
            fitting = trial if engine == "asrlsa" else _fitting(trial, notes)
            if fitting is not None:
                trials[fitting] = None
    if not trials:
        raise UsageError("; ".join([*notes, "no configuration is left to run"]))
    return list(trials), list(notes)


def _combined(matrix: Matrix, engine: str) -> list[Trial]:
    values = product(
        matrix.models, matrix.compute_types, matrix.beam_sizes, matrix.batch_sizes, matrix.threads, matrix.contexts
    )
    return [
        Trial(
            model=model,
            compute_type=kind,
            device=matrix.device,
            beam_size=beam,
            batch_size=batch,
            threads=threads,
            context=context,
            engine=engine,
            low_memory=matrix.low_memory and engine == "asrlsa",
            language=matrix.language,
        )
        for model, kind, beam, batch, threads, context in values
    ]


def _fitting(trial: Trial, notes: dict[str, None]) -> Trial | None:
    """Return a configuration of another engine as that can run it, or None where it can't."""
    engine = ENGINES[trial.engine]
    if trial.compute_type not in ("default", *engine.types):
        notes[f"{engine.name} has no compute type {trial.compute_type}: left out"] = None
        return None
    if trial.device == "auto":
        trial = replace(trial, device="cpu")
    return replace(trial, context="full", batch_size=trial.batch_size if engine.batches else None)


def _check(name: str, values: Sequence[str], allowed: Sequence[str]) -> None:
    if not values:
        raise UsageError(f"no {name}: give one or more of {', '.join(allowed)}")
    for value in values:
        if value not in allowed:
            raise UsageError(f"{name} {value!r} is not possible: choose from {', '.join(allowed)}")


def _check_range(name: str, values: Sequence[int], low: int, high: int) -> None:
    for value in values:
        if not low <= value <= high:
            raise UsageError(f"{name} {value} is not possible: give {low} to {high}")
