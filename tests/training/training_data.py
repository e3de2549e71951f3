"""Recordings and rows for the tests of training data; nothing here needs torch."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from asrlsa.manifest import Row


def row(start: int, end: int, text: str = "um the ball", audio: str = "a.wav", **more: object) -> Row:
    """Return a row; its name tells its times."""
    name = str(more.pop("id", f"{Path(audio).stem}-{start}-{end}"))
    return Row(id=name, audio=Path(audio), start=start, end=end, text=text, **more)  # type: ignore[arg-type]


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000, channels: int = 1) -> Path:
    """Write float samples as 16-bit PCM."""
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, rate, 0, "NONE", ""))
        file.writeframes(np.round(np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def tone(seconds: float, frequency: float = 440.0, rate: int = 16_000) -> np.ndarray:
    """Return a tone of which every stretch can be told from every other: its pitch rises."""
    time = np.arange(round(seconds * rate)) / rate
    return (0.4 * np.sin(2 * np.pi * (frequency + 20 * time) * time)).astype(np.float32)
