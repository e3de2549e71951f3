"""What a run will do, before it begins: batches, steps, padding share, speech a step."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import torch

from asrlsa.training.base import Base
from asrlsa.training.dataset import WindowDataset
from asrlsa.training.features import MAX_FRAMES
from asrlsa.training.loaders import MixedDataset, make_sampler
from asrlsa.training.methods import Attached
from asrlsa.training.settings import FinetuneSettings
from asrlsa.training.trainer import Work


def bucket_lengths(dataset: WindowDataset) -> list[int]:
    """Return the mel frames that batches are padded to: one length, or the bounds of the duration buckets."""
    if dataset.settings.layout != "variable":
        return [MAX_FRAMES]
    frames = sorted(dataset.padded_frames(dataset.frames(i)) for i in range(len(dataset)))
    count = dataset.settings.duration_buckets
    bounds = {frames[min(len(frames) - 1, math.ceil(len(frames) * (k + 1) / count) - 1)] for k in range(count)}
    return sorted({*bounds, MAX_FRAMES} if dataset.settings.full_share else bounds)


def describe_sizes(sizes: Mapping[int, int]) -> str:
    """Return one line on the batches."""
    if len(sizes) == 1:
        return f"{next(iter(sizes.values()))} windows"
    return ", ".join(f"{size} windows up to {frames / 100:g} s" for frames, size in sizes.items())


def steps_per_epoch(settings: FinetuneSettings, data: MixedDataset, sizes: Mapping[int, int]) -> int:
    """Return the updates that one pass over the data takes."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    share = settings.loss.fluent_share if data.fluent is not None else 0.0
    batches = len(make_sampler(data, sizes, fluent_share=share, rank=0, world=world))
    return max(1, -(-batches // settings.train.accumulation))


def count_steps(settings: FinetuneSettings, data: MixedDataset, sizes: Mapping[int, int]) -> int:
    """Return the updates of all epochs."""
    return max(1, math.ceil(settings.train.epochs * steps_per_epoch(settings, data, sizes) - 1e-9))


def start_event(
    settings: FinetuneSettings,
    base: Base,
    attached: Attached,
    work: Work,
    steps: int,
    per_epoch: int,
    device: torch.device,
    precision: str,
) -> dict[str, Any]:
    """Return what a run begins with: model, data, padding share and speech a step."""
    summary = work.data.main.summary()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    total = max(per_epoch, 1)
    speech, sound, padded, windows = epoch_load(work, world)
    left_out = summary.describe_left_out()
    return {
        "event": "start",
        "step": 0,
        "steps": steps,
        "epochs": steps / per_epoch,
        "base": base.name,
        "base_sha256": base.sha256,
        "method": settings.method.method,
        "trainable": attached.trainable,
        "parameters": attached.total,
        "train": summary.describe(),
        "left_out": left_out,
        "dev": work.dev.describe() if work.dev is not None else "",
        "utterances": summary.rows,
        "speech_seconds_in_all": summary.speech_seconds,
        "windows": summary.windows,
        "windows_per_step": windows / total,
        "speech_per_step": speech / total,
        "padded_per_step": padded / total,
        "padding_share": 1 - sound / padded if padded else 0.0,
        "device": f"{world} × {device.type}" if world > 1 else device.type,
        "precision": precision,
        "eval_every": work.eval_every,
        "save_every": work.save_every,
    }


def epoch_load(work: Work, world: int) -> tuple[float, float, float, int]:
    """Return seconds of speech, of sound and of encoder input, and windows, that the first epoch hears."""
    speech = sound = padded = 0.0
    windows = 0
    main, fluent = work.data.main, work.data.fluent
    for rank in range(world):
        sampler = make_sampler(
            work.data, work.sizes, fluent_share=work.fluent_share, seed=work.settings.seed, rank=rank, world=world
        )
        for batch in sampler:
            windows += len(batch)
            for draw in batch:
                is_main = draw.window < len(main)
                part = main if is_main or fluent is None else fluent
                index = draw.window if is_main else draw.window - len(main)
                speech += float(part.speech_seconds[index])
                sound += part.frames(index) / 100
                padded += (draw.frames or MAX_FRAMES) / 100
    return speech, sound, padded, windows
