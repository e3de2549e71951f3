"""Decoder distillation after Distil-Whisper (Gandhi et al., https://arxiv.org/abs/2311.00430).

The student keeps the teacher's encoder and a few of its decoder layers, and learns ``0.8 CE + 1.0 KL`` at T = 2, the
weights of the authors' training script. The teacher writes each row itself, and rows where its text is too far from the
manifest's are left out. Unlike theirs, the filter looks at fluent forms only: a teacher that drops a filler, or a text
that lacks one, must not remove the very rows that this project is about.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from asrlsa.errors import ConfigError
from asrlsa.manifest import Row
from asrlsa.media import check_readable
from asrlsa.models import cache_dir, resolve_model
from asrlsa.output import write_atomic
from asrlsa.speech.prompts import style_prompt
from asrlsa.training.base import Base
from asrlsa.training.scores import Written, score
from asrlsa.training.settings import FinetuneSettings
from asrlsa.training.sounds import Sounds
from asrlsa.training.stretches import language_of

_LONGEST = 30_000  # ms; longer rows are never trained on
_BATCH = 8


def spaced(layers: int, wanted: int) -> list[int]:
    """Return which of ``layers`` layers are copied: the first and the last, and evenly spaced ones between.

    One layer alone is the last one. This is Distil-Whisper's and DistilBART's choice (https://arxiv.org/abs/2010.13002).
    """
    if wanted == 1:
        return [layers - 1]
    return [round(k * (layers - 1) / (wanted - 1)) for k in range(wanted)]


def teacher_of(settings: FinetuneSettings, base: Base, device: torch.device) -> Any:
    """Return a frozen copy of the base where the method changes the base itself and a divergence is asked for.

    For distillation it is the base itself: the student is the copy.
    """
    if settings.distil.decoder_layers:
        return base.model.to(device).requires_grad_(False)  # type: ignore[arg-type]
    if settings.loss.kl <= 0 or settings.method.method != "full":
        return None
    teacher: Any = copy.deepcopy(base.model)
    teacher.to(device)
    teacher.requires_grad_(False)
    return teacher


def student_of(base: Base, layers: int, *, share_encoder: bool) -> Base:
    """Make the student.

    Args:
        base: The teacher.
        layers: Decoder layers that the student gets.
        share_encoder: Use the teacher's encoder itself, which then must stay as it is; otherwise copy it.

    Raises:
        ConfigError: The teacher has not more layers than that.
    """
    teacher: Any = base.model
    count = len(teacher.model.decoder.layers)
    if layers >= count:
        raise ConfigError(
            f"distil.decoder_layers {layers} distils nothing: the decoder of {base.name} has {count} layers"
        )
    encoder = teacher.model.encoder
    student: Any = copy.deepcopy(teacher, {id(encoder): encoder} if share_encoder else {})
    decoder = student.model.decoder
    chosen = spaced(count, layers)
    decoder.layers = nn.ModuleList(decoder.layers[k] for k in chosen)
    for k, layer in enumerate(decoder.layers):
        layer.self_attn.layer_idx = layer.encoder_attn.layer_idx = k
    student.config.decoder_layers = decoder.config.decoder_layers = layers
    known = getattr(teacher.generation_config, "alignment_heads", None) or []
    # Heads that word times are read from, as far as their layers were copied.
    moved = [[chosen.index(layer), head] for layer, head in known if layer in chosen]
    upper = range(layers // 2, layers)
    every = [[k, h] for k in upper for h in range(decoder.layers[k].encoder_attn.num_heads)]
    student.generation_config.alignment_heads = moved or every
    return dataclasses.replace(base, model=student)


def labelled_rows(
    rows: Sequence[Row], settings: FinetuneSettings, base: Base, note: Callable[[str], None]
) -> list[Row]:
    """Let the teacher write every row, leave out the rows it disagrees with, and choose the texts to learn.

    What it wrote is kept in the cache, so a run that is resumed learns from the same.

    Args:
        rows: Training rows; those without text are noise and stay.
        settings: The recipe.
        base: The teacher.
        note: Told what came out.

    Raises:
        ConfigError: No row with text is left.
        ModelError: The teacher can't be run by CTranslate2.
    """
    distil = settings.distil
    if distil.labels == "text" and not distil.max_wer:
        return list(rows)
    spoken = [row for row in rows if row.text.strip() and row.duration <= _LONGEST]
    labels = pseudo_labels(spoken, settings, base, note)
    rates = disagreement(spoken, labels)
    limit = distil.max_wer or float("inf")
    pairs = zip(spoken, labels, rates, strict=True)
    agreed = {row.id: label for row, label, rate in pairs if label is not None and rate <= limit}
    note(
        f"pseudo labels: {len(agreed):,} of {len(spoken):,} rows are kept; for the others the base's text never ends, "
        f"or differs by more than {limit:g} % of the fluent words"
    )
    if not agreed:
        raise ConfigError(
            f"the base's text never ends or differs by more than {limit:g} % in every row: is it the right model for "
            "this language and these recordings? distil.labels = text with distil.max_wer = 0 keeps all rows"
        )
    found: list[Row] = []
    broken = False
    for row in rows:
        if row.id in agreed:
            row = dataclasses.replace(row, joins=row.joins and not broken)
            if distil.labels == "teacher":
                text = agreed[row.id]
                row = dataclasses.replace(row, text=text, fluent=None if row.fluent is None else text)
            found.append(row)
            broken = False
        elif not row.text.strip() or row.duration > _LONGEST:
            found.append(row)
        else:
            broken = True  # what is said there must not be heard in a window between two other rows
    return found


def disagreement(rows: Sequence[Row], labels: Sequence[str | None]) -> list[float]:
    """Return the word error rate in % of each label against its row's text, both without their disfluencies.

    Both are coded by the same rules first, as ``asrlsa evaluate`` does. A row of disfluencies only has no fluent word:
    its rate is 0 where the label has none either, else infinite.
    """
    written = [
        Written(f"{k:09d}", 0, (row.text,), label or "", language_of(row), False)
        for k, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]
    if not written:
        return []
    _, sums = score(written, resamples=0)
    rates = []
    for row in sums:
        errors, words = row["fluent.errors"], row["fluent.words"]
        rates.append(100 * errors / words if words else (float("inf") if errors else 0.0))
    return rates


def pseudo_labels(
    rows: Sequence[Row], settings: FinetuneSettings, base: Base, note: Callable[[str], None]
) -> list[str | None]:
    """Return what the teacher writes for every row, from the cache where that was done before.

    The recogniser of ``asrlsa transcribe`` writes them: greedily, with the recipe's prompt (or the language's style
    prompt), in int8 on a CPU. None stands for a text that never ended, which is a loop.
    """
    prompts = {code: _prompt(settings, code) for code in {language_of(row) for row in rows}}
    target = cache_dir() / "labels" / f"{_key(rows, prompts, base.sha256)}.json"
    if target.exists():
        found: list[str | None] = json.loads(target.read_text(encoding="utf-8"))
        return found
    written = _write(rows, prompts, settings, note)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, json.dumps(written, ensure_ascii=False) + "\n")
    return written


def _prompt(settings: FinetuneSettings, language: str) -> str | None:
    given = settings.data.prompt
    if given is not None:
        return given or None
    return style_prompt(language) if settings.data.target == "verbatim" else None


def _key(rows: Sequence[Row], prompts: dict[str, str | None], sha256: str) -> str:
    digest = hashlib.sha256(json.dumps([sha256, sorted(prompts.items())]).encode())
    stamps: dict[Path, tuple[int, int]] = {}
    for row in rows:
        if row.audio not in stamps:
            check_readable(row.audio)
            found = row.audio.stat()
            stamps[row.audio] = (found.st_size, found.st_mtime_ns)
        line = json.dumps([str(row.audio), *stamps[row.audio], row.start, row.end])
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:32]


def _write(
    rows: Sequence[Row], prompts: dict[str, str | None], settings: FinetuneSettings, note: Callable[[str], None]
) -> list[str | None]:
    from asrlsa.speech.decode import DecodingOptions, Recogniser

    model = resolve_model(settings.model.base, offline=settings.model.offline)
    recogniser = Recogniser(model, device=settings.train.device, threads=settings.train.threads)
    texts: dict[int, str | None] = {}
    sounds = Sounds(limit_gb=settings.data.sound_cache_gb)
    # Windows of like length together: a batch takes as long as its longest.
    order = sorted(range(len(rows)), key=lambda k: rows[k].duration)
    for first in range(0, len(order), _BATCH):
        picked = order[first : first + _BATCH]
        samples = [sounds.read(rows[k].audio, rows[k].start, rows[k].end) for k in picked]
        codes = [language_of(rows[k]) for k in picked]
        decoded = recogniser.decode(
            recogniser.encode([recogniser.features(s) for s in samples]),
            [rows[k].duration for k in picked],
            language=codes,
            prompt=[prompts[code] for code in codes],
            options=DecodingOptions(),
        )
        for k, found in zip(picked, decoded, strict=True):
            texts[k] = None if found.truncated else " ".join(word.text for word in found.words)
        if first // _BATCH % 25 == 24:
            note(f"pseudo labels: {first + len(picked):,} of {len(rows):,} rows")
    return [texts[k] for k in range(len(rows))]
