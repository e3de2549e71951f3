"""Speaker embeddings by an ONNX network; CAM++ ships with the package.

CAM++: H. Wang et al., "CAM++: a fast and efficient network for speaker verification using context-aware masking",
Interspeech 2023 (arXiv 2303.00332). Weights: 3D-Speaker, Apache-2.0; see ``asrlsa/speech/data/NOTICE``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from asrlsa.errors import ModelError
from asrlsa.speech.speakers.features import MEL_BANDS, SAMPLE_RATE, FloatArray, fbank
from asrlsa.types import Span

PACKAGED_MODEL = Path(__file__).parents[1] / "data" / "campplus.onnx"
BATCH_WINDOWS = 2  # windows of 1.5 s at once: under 20 MB of activations; more are no faster on a CPU
SHORTEST_FRAMES = 20  # below 0.2 s the statistics of the network mean nothing; such spans are repeated up to it


def resolve_model(model: str | Path | None, *, offline: bool = False) -> Path:
    """Return the local ONNX file of an embedding model.

    Args:
        model: None for the packaged CAM++; the path of an ONNX file; or ``owner/name/file.onnx``, a file of a Hugging
            Face repository, taken from the hub cache or downloaded.
        offline: Take it from the cache only.

    Raises:
        ModelError: There is no such file, or the hub does not give it.
    """
    if model is None:
        return PACKAGED_MODEL
    path = Path(model)
    if path.is_file():
        return path
    parts = str(model).split("/")
    if path.is_absolute() or len(parts) < 3 or parts[0] in ("", ".", "..", "~"):
        raise ModelError(f"speaker model {model}: no such file; give an ONNX file or owner/name/file.onnx on the hub")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download("/".join(parts[:2]), "/".join(parts[2:]), local_files_only=offline))
    except Exception as error:  # the hub client raises errors of several libraries
        if offline:
            raise ModelError(
                f"speaker model {model} is not on this machine, and --offline forbids downloading"
            ) from error
        raise ModelError(f"speaker model {model}: no such file here, and the hub did not give it ({error})") from error


class SpeakerEncoder:
    """Turns speech into embeddings whose cosine tells speakers apart.

    The model takes mean-normalised filter banks ``(B, T, 80)`` and gives ``(B, D)``; the packaged CAM++ has D = 192.
    Any ONNX network with that interface fits (WeSpeaker and 3D-Speaker publish such files).

    Args:
        threads: CPU threads of onnxruntime.
        model: See :func:`resolve_model`.
        offline: See there.

    Raises:
        ModelError: The model can't be found or loaded, or has another interface.
    """

    def __init__(self, threads: int = 1, model: str | Path | None = None, *, offline: bool = False) -> None:
        import onnxruntime

        path = resolve_model(model, offline=offline)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # saves 10 MB, costs no time
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base
            raise ModelError(f"speaker model {path} can't be loaded: {error}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 3 or inputs[0].shape[2] != MEL_BANDS:
            raise ModelError(
                f"speaker model {path} does not take (batch, frames, {MEL_BANDS}) filter banks: use another"
            )
        self._input, self._output = inputs[0].name, outputs[0].name
        size = outputs[0].shape[-1]
        self.size = (
            size if isinstance(size, int) else int(self._run(np.zeros((1, 100, MEL_BANDS), np.float32)).shape[1])
        )

    def embed(self, audio: FloatArray, spans: Sequence[Span]) -> FloatArray:
        """Embed stretches of a recording.

        Args:
            audio: Mono samples at 16 kHz, shape (N,).
            spans: K stretches in ms from the start of ``audio``.

        Returns:
            Shape (K, D), float32, rows of unit length.
        """
        per_ms = SAMPLE_RATE // 1000
        return self.embed_features([fbank(audio[span.start * per_ms : span.end * per_ms]) for span in spans])

    def embed_features(self, features: Sequence[FloatArray]) -> FloatArray:
        """Embed K filter banks of shape (T, 80) each, batched by equal T; returns (K, D) rows of unit length."""
        by_length: dict[int, list[int]] = {}
        for index, frames in enumerate(features):
            by_length.setdefault(len(frames), []).append(index)
        found = np.empty((len(features), self.size), dtype=np.float32)
        for length, indices in by_length.items():
            repeats = -(-SHORTEST_FRAMES // length)
            for first in range(0, len(indices), BATCH_WINDOWS):
                chosen = indices[first : first + BATCH_WINDOWS]
                batch = np.stack([np.tile(features[i], (repeats, 1)) for i in chosen])
                found[chosen] = self._run(batch - batch.mean(axis=1, keepdims=True))
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9), dtype=np.float32)

    def _run(self, batch: FloatArray) -> FloatArray:
        result: FloatArray = self._session.run([self._output], {self._input: batch})[0]
        return result
