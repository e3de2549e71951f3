"""Other programs that run Whisper, to compare asrlsa with: the same weights, the same audio, text out.

Each is used as its own documentation shows, with word times where it has them, because asrlsa always has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from asrlsa.errors import ModelError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from asrlsa.models import Model

Heard = Callable[[], None]
Transcriber = Callable[[Path, Heard], str]
RATE: Final = 16_000


@dataclass(frozen=True, slots=True)
class Engine:
    """One program.

    Attributes:
        name: What the user calls it.
        module: What Python imports.
        package: What pip installs.
        types: Compute types that it has on a CPU, the one it takes by default first.
        batches: Whether it decodes several windows together.
    """

    name: str
    module: str
    package: str
    types: tuple[str, ...]
    batches: bool


ENGINES: Final = {
    engine.name: engine
    for engine in (
        Engine("faster-whisper", "faster_whisper", "faster-whisper", ("int8", "float32"), True),
        Engine("openai-whisper", "whisper", "openai-whisper", ("float32",), False),
        Engine("transformers", "transformers", "asrlsa[train]", ("float32", "bfloat16"), False),
        Engine("whisper.cpp", "pywhispercpp", "pywhispercpp", ("int8", "float16", "float32"), False),
    )
}


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How an engine is to work; see `asrlsa.trials.Trial`."""

    compute_type: str = "default"
    device: str = "cpu"
    beam_size: int = 1
    batch_size: int | None = None
    threads: int = 0
    language: str = "auto"


def lacking(name: str) -> str:
    """Return in one line why an engine can't be used here, or an empty text.

    Raises:
        UsageError: There is no engine of that name.
    """
    engine = _engine(name)
    if find_spec(engine.module) is None:
        return f"{name} is not installed (pip install {engine.package})"
    return ""


def compute_type(name: str, wanted: str) -> str:
    """Return the type in which an engine works when ``wanted`` is asked for.

    Raises:
        UsageError: It does not have that type.
    """
    engine = _engine(name)
    if wanted == "default":
        return engine.types[0]
    if wanted not in engine.types:
        raise UsageError(f"{name} has no compute type {wanted!r}: it has {', '.join(engine.types)}")
    return wanted


def engine_weights(name: str, model: Model, wanted: str, cache: Path) -> Path:
    """Return the model as the engine reads it, written into ``cache`` on first use.

    Raises:
        ModelError: It can't be converted (quantised weights can't), or the cache can't be written.
        UsageError: The engine does not have the type.
    """
    kind = compute_type(name, wanted)
    if name == "faster-whisper":
        return model.directory
    from asrlsa.conversion.elsewhere import write_ggml, write_openai
    from asrlsa.conversion.folders import building, read_whisper, write_transformers

    home = cache / "engines" / f"{name}-{kind if name == 'whisper.cpp' else 'float32'}-{model.fingerprint[:16]}"
    file = {"openai-whisper": "model.pt", "whisper.cpp": "ggml.bin"}.get(name, "")
    if not (home / file).exists():
        try:
            with building(home) as folder:
                whisper = read_whisper(model.directory)
                if name == "openai-whisper":
                    write_openai(whisper, folder / file)
                elif name == "whisper.cpp":
                    write_ggml(whisper, folder / file, kind, _mel_filters(model.mels))
                else:
                    write_transformers(whisper, folder, "float32")
        except OSError as error:
            raise ModelError(f"{cache}: can't be written ({error.strerror or error}); set ASRLSA_CACHE") from None
    return home / file if file else home


def load_engine(name: str, weights: Path, settings: EngineSettings) -> Transcriber:
    """Load an engine; what comes back transcribes one recording and calls its second argument at the first words.

    Args:
        name: Of `ENGINES`.
        weights: What `engine_weights` gave.
        settings: How it is to work.

    Raises:
        ModelError: It is not installed.
        UsageError: The engine does not have the compute type.
    """
    reason = lacking(name)
    if reason:
        raise ModelError(reason)
    kind = compute_type(name, settings.compute_type)
    loaders = {
        "faster-whisper": _faster_whisper,
        "openai-whisper": _openai_whisper,
        "transformers": _transformers,
        "whisper.cpp": _whisper_cpp,
    }
    return loaders[name](weights, kind, settings)


def _engine(name: str) -> Engine:
    try:
        return ENGINES[name]
    except KeyError:
        raise UsageError(f"engine {name!r} is not known: choose asrlsa, {', '.join(ENGINES)}") from None


def _audio(path: Path) -> NDArray[np.float32]:
    from asrlsa import audio

    return audio.load(path)


def _language(settings: EngineSettings) -> str | None:
    return None if settings.language == "auto" else settings.language


def _faster_whisper(weights: Path, kind: str, settings: EngineSettings) -> Transcriber:
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    model: Any = WhisperModel(str(weights), device=settings.device, compute_type=kind, cpu_threads=settings.threads)
    more: dict[str, Any] = {}
    if settings.batch_size is not None and settings.batch_size > 1:
        model, more = BatchedInferencePipeline(model), {"batch_size": settings.batch_size}

    def transcribe(path: Path, heard: Heard) -> str:
        segments, _ = model.transcribe(
            _audio(path), language=_language(settings), beam_size=settings.beam_size, word_timestamps=True, **more
        )
        return " ".join(_told((s.text for s in segments), heard))

    return transcribe


def _told(texts: Iterator[str], heard: Heard) -> Iterator[str]:
    """Pass the texts on; say when the first one is there."""
    for number, text in enumerate(texts):
        if number == 0:
            heard()
        yield text.strip()


def _openai_whisper(weights: Path, kind: str, settings: EngineSettings) -> Transcriber:
    import torch

    whisper: Any = import_module("whisper")

    if settings.threads:
        torch.set_num_threads(settings.threads)
    model = whisper.load_model(str(weights), device=settings.device)

    def transcribe(path: Path, heard: Heard) -> str:
        beam = settings.beam_size if settings.beam_size > 1 else None
        found = model.transcribe(
            _audio(path), language=_language(settings), beam_size=beam, word_timestamps=True, fp16=kind == "float16"
        )
        heard()
        return str(found["text"]).strip()

    return transcribe


def _transformers(weights: Path, kind: str, settings: EngineSettings) -> Transcriber:
    import torch
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    if settings.threads:
        torch.set_num_threads(settings.threads)
    dtype = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[kind]
    processor: Any = WhisperProcessor.from_pretrained(weights)
    model: Any = WhisperForConditionalGeneration.from_pretrained(weights, dtype=dtype)
    model = model.to(settings.device).eval()
    several = bool(model.generation_config.is_multilingual)

    def transcribe(path: Path, heard: Heard) -> str:
        sound = _audio(path)
        inputs = processor(
            sound,
            sampling_rate=RATE,
            return_tensors="pt",
            truncation=False,
            padding="longest",
            return_attention_mask=True,
        )
        if inputs.input_features.shape[-1] < 3000:  # up to 30 s: one window of the full length
            inputs = processor(sound, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True)
        more = {"language": _language(settings), "task": "transcribe"} if several else {}
        with torch.inference_mode():
            tokens = model.generate(
                inputs.input_features.to(settings.device, dtype),
                attention_mask=inputs.attention_mask.to(settings.device),
                return_timestamps=True,
                num_beams=settings.beam_size,
                **more,
            )
        heard()
        return str(processor.batch_decode(tokens, skip_special_tokens=True)[0]).strip()

    return transcribe


def _whisper_cpp(weights: Path, kind: str, settings: EngineSettings) -> Transcriber:
    whisper_cpp: Any = import_module("pywhispercpp.model")

    beam = {"beam_size": settings.beam_size, "patience": -1.0}
    more = {"params_sampling_strategy": 1, "beam_search": beam} if settings.beam_size > 1 else {}
    threads = {"n_threads": settings.threads} if settings.threads else {}
    model = whisper_cpp.Model(
        str(weights), print_progress=False, print_realtime=False, redirect_whispercpp_logs_to=None, **threads, **more
    )

    def transcribe(path: Path, heard: Heard) -> str:
        spoken: list[str] = []

        def on_segment(segment: Any) -> None:
            if not spoken:
                heard()
            spoken.append(segment.text)

        language = _language(settings) or "auto"
        found = model.transcribe(_audio(path), language=language, new_segment_callback=on_segment)
        return " ".join(segment.text.strip() for segment in found)

    return transcribe


def _mel_filters(mels: int) -> NDArray[np.float32]:
    from faster_whisper.feature_extractor import FeatureExtractor

    filters: NDArray[np.float32] = FeatureExtractor(feature_size=mels).mel_filters
    return filters
