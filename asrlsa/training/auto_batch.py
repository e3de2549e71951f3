"""The largest batch that fits, found by trying and remembered; and what would fit where a GPU is too small."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from asrlsa.errors import ModelError
from asrlsa.models import cache_dir
from asrlsa.output import write_atomic
from asrlsa.speech.memory import peak_memory

MOST: Final = 256  # windows; beyond this a larger batch is no faster
MOST_CPU: Final = 16
MEMORY_SHARE: Final = 0.6  # of the free memory of a CPU machine that a batch may take
_MARGIN: Final = 0.9  # of the largest batch that fits: activations differ from batch to batch
_NAME: Final = "batches.json"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        part in text for part in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    )


def largest(attempt: Callable[[int], None], *, start: int = 1, most: int = MOST) -> int:
    """Find the largest size for which ``attempt`` does not run out of memory: doubling, then halving the gap.

    Args:
        attempt: Tries one size; raises where memory runs out.
        start: First size to try.
        most: Largest size to try.

    Returns:
        The size; 0 where even 1 does not fit.
    """

    def fits(size: int) -> bool:
        try:
            attempt(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            release()
            return False
        return True

    low, high = 0, most + 1
    size = max(1, min(start, most))
    while low < most and high == most + 1:
        if fits(size):
            low, size = size, min(2 * size, most)
        else:
            high = size
    while high - low > max(1, low // 8):
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def release() -> None:
    """Give memory of a failed attempt back; on a CPU it is back already."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()


def find_sizes(
    attempt: Callable[[int, int], None],
    lengths: Iterable[int],
    *,
    most: int = MOST,
    store: Path | None = None,
    key: str,
) -> dict[int, int]:
    """Find the largest batch for each length of window, the longest first; what is known already is not tried.

    Args:
        attempt: Tries (mel frames, windows).
        lengths: Mel frames that batches are padded to.
        most: Largest batch to try.
        store: Folder that remembers; None takes asrlsa's cache.
        key: What the sizes depend on (`memory_key`).

    Returns:
        Mel frames to windows.

    Raises:
        ModelError: Not even one window fits.
    """
    path = (store if store is not None else cache_dir()) / _NAME
    known = _read(path)
    found: dict[int, int] = {}
    size = 1
    for frames in sorted(set(lengths), reverse=True):
        name = f"{key}:{frames}"
        stored = known.get(name)
        size = stored if stored else largest(lambda n, f=frames: attempt(f, n), start=size, most=most)  # type: ignore[misc]
        if size < 1:
            raise ModelError(f"one window of {frames / 100:g} s does not fit into memory")
        found[frames] = max(1, size if stored else int(size * _MARGIN) if size < most else size)
        known[name] = found[frames]
        size = found[frames]
    _write(path, known)
    return found


def remember_smaller(key: str, frames: int, size: int, store: Path | None = None) -> None:
    """Note that a batch did not fit after all."""
    path = (store if store is not None else cache_dir()) / _NAME
    known = _read(path)
    name = f"{key}:{frames}"
    known[name] = max(1, min(known.get(name, size), size))
    _write(path, known)


def memory_key(parts: Mapping[str, Any]) -> str:
    """Return a short name of everything that decides how much fits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:24]


def device_facts(device: torch.device) -> dict[str, Any]:
    """Return what device it is and how much memory it has."""
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return {"device": found.name, "memory": found.total_memory}
    import psutil

    return {"device": "cpu", "memory": int(psutil.virtual_memory().total)}


def _read(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(k): int(v) for k, v in found.items() if isinstance(v, int)} if isinstance(found, dict) else {}


def _write(path: Path, known: Mapping[str, int]) -> None:
    with suppress(Exception):  # a cache that can't be written costs the time of trying again
        write_atomic(path, json.dumps(dict(known), indent=0) + "\n")


class Attempt:
    """One step with random windows of the worst kind: every decoder position filled, every parameter's state there."""

    def __init__(
        self,
        model: nn.Module,
        *,
        mels: int,
        positions: int,
        vocabulary: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        autocast: torch.dtype | None = None,
        encoded: tuple[int, int] | None = None,
    ) -> None:
        """Try on ``model``, with its loss installed.

        Args:
            model: The model; its gradients are gone afterwards.
            mels: Mel bands.
            positions: Tokens of the longest text.
            vocabulary: Number of tokens.
            device: Where the inputs go.
            dtype: Type of the features.
            autocast: Arithmetic of a step where it is not the weights'.
            encoded: Positions and width of cached encoder output, where the encoder does not run.
        """
        self.model, self.mels, self.positions, self.vocabulary = model, mels, positions, vocabulary
        self.device, self.dtype, self.autocast, self.encoded = device, dtype, autocast, encoded

    def __call__(self, frames: int, size: int) -> None:
        """Run a step of ``size`` windows of ``frames`` mel frames; raises where memory runs out."""
        devices = [self.device] if self.device.type == "cuda" else []
        before = peak_memory() if self.device.type == "cpu" else 0
        trained = [p for p in self.model.parameters() if p.requires_grad]
        # AdamW keeps two numbers for each parameter; they are not there before the first real step.
        state = [torch.empty_like(p) for p in trained for _ in range(2)] if devices else []
        with torch.random.fork_rng(devices=devices):
            try:
                self._step(frames, size)
            finally:
                for p in trained:
                    p.grad = None
                state.clear()
        if self.device.type == "cpu" and not cpu_has_room(before, peak_memory(), size):
            raise MemoryError(f"twice {size} windows would take too much of the memory")

    def _step(self, frames: int, size: int) -> None:
        ids = torch.randint(self.vocabulary, (size, self.positions), device=self.device)
        given: dict[str, Any] = {"decoder_input_ids": ids, "labels": ids.clone()}
        if self.encoded is not None:
            given["encoder_outputs"] = (torch.randn(size, *self.encoded, device=self.device, dtype=self.dtype),)
        else:
            given["input_features"] = torch.randn(size, self.mels, frames, device=self.device, dtype=self.dtype)
        self.model.train()
        mixed = self.autocast is not None
        with torch.autocast(self.device.type, dtype=self.autocast or torch.bfloat16, enabled=mixed):
            loss = self.model(**given)["loss"]
        loss.backward()


def cpu_has_room(before: int, after: int, size: int) -> bool:
    """Whether a CPU machine has room for the batch just tried; it would be killed before it ran out.

    Args:
        before: Peak of resident bytes before.
        after: The same after.
        size: Windows that were tried.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    return size == 1 or (after - before) < MEMORY_SHARE * (free + max(after - before, 0))


# A window of 30 s keeps about this many values of activation for each position and unit of width in one layer.
_ENCODER_VALUES: Final = 34
_DECODER_VALUES: Final = 46
_KEPT_VALUES: Final = 2  # with checkpointing: a layer's input, and what one layer needs at a time is on top


def estimate_bytes(
    config: Any,
    *,
    parameters: int,
    trainable: int,
    batch: int,
    weight_bytes: int,
    value_bytes: int,
    checkpointing: bool,
) -> int:
    """Estimate the memory of a training step with padded 30 s windows, without the library's own (about 1 GB on a GPU).

    Args:
        config: transformers' `WhisperConfig`.
        parameters: Parameters of model and adapter.
        trainable: Those that are trained; each has a gradient and two states in float32.
        batch: Windows.
        weight_bytes: Bytes of a weight.
        value_bytes: Bytes of an activation.
        checkpointing: Whether activations are computed again.
    """
    width = int(config.d_model)
    encoder = int(config.max_source_positions) * width
    decoder = int(config.max_target_positions) * width
    kept: int
    if checkpointing:
        kept = _KEPT_VALUES * (encoder * config.encoder_layers + decoder * config.decoder_layers)
        kept += max(_ENCODER_VALUES * encoder, _DECODER_VALUES * decoder)
    else:
        kept = _ENCODER_VALUES * encoder * config.encoder_layers + _DECODER_VALUES * decoder * config.decoder_layers
    return parameters * weight_bytes + trainable * 12 + batch * kept * value_bytes


def what_fits(
    config: Any,
    *,
    parameters: int,
    trainable: int,
    batch: int,
    weight_bytes: int,
    value_bytes: int,
    checkpointing: bool,
    memory: int,
) -> str:
    """Say in one line what to change for a step to fit into ``memory`` bytes; arguments as `estimate_bytes`."""

    def needs(size: int, saved: bool, weight: int) -> int:
        return estimate_bytes(
            config,
            parameters=parameters,
            trainable=trainable,
            batch=size,
            weight_bytes=weight,
            value_bytes=value_bytes,
            checkpointing=saved,
        )

    sizes: Sequence[int] = [batch >> k for k in range(1, 13) if batch >> k]
    room = int(0.85 * memory) - 1_000_000_000
    choices = [(s, checkpointing, weight_bytes, f"train.batch={s}") for s in sizes]
    choices += [(s, True, weight_bytes, f"train.batch={s} train.gradient_checkpointing=true") for s in (batch, *sizes)]
    if weight_bytes > 2:
        choices += [
            (s, True, 2, f"train.batch={s} train.gradient_checkpointing=true model.dtype=bfloat16")
            for s in (batch, *sizes)
        ]
    for size, saved, weight, text in choices:
        if needs(size, saved, weight) <= room:
            return f"about {needs(size, saved, weight) / 1e9:.1f} GB would fit: --set " + text.replace(" ", " --set ")
    return (
        f"even one window needs about {needs(1, True, min(weight_bytes, 2)) / 1e9:.1f} GB: take a smaller model, an "
        "adapter method in place of full, or split the model over two GPUs (--model-parallel)"
    )
