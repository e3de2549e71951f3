"""Any audio or video file -> mono float32 samples at 16 kHz, with times that agree with a media player's.

A recording is read as a stream of blocks, so a file of any length needs the memory of one block. What a container
leaves out (a late start, lost packets) becomes silence of the same length; what can't be decoded becomes silence
with a note. CHAT bullets then point to the right place in the original file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asrlsa.errors import MediaError
from asrlsa.media import (
    MediaInfo,
    audio_track,
    clock,
    declared_length,
    media_info,
    moving_pictures,
    open_media,
    promised_length,
    start_of,
)
from asrlsa.mixing import Mixer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

__all__ = [
    "CHUNK_SECONDS",
    "N_SAMPLES",
    "SAMPLES_PER_MS",
    "SAMPLE_RATE",
    "AudioStream",
    "MediaInfo",
    "load",
    "probe",
    "slice_ms",
    "stream",
]

SAMPLE_RATE = 16_000  # Hz, what Whisper hears
CHUNK_SECONDS = 30  # s, the longest window that Whisper was trained on
N_SAMPLES = CHUNK_SECONDS * SAMPLE_RATE  # 480,000 samples in a full window
SAMPLES_PER_MS = SAMPLE_RATE // 1000  # 16

_GAP = 0.05  # s; timestamps of real files jitter by less, and nobody sees a bullet 50 ms off
_LONGEST_GAP = 600.0  # s; where the length is not known, a jump beyond this is a wrong timestamp, not silence
_REFUSALS = 50  # read errors in a row after which the rest of a file is given up
_MISSING = 1.0  # s; a file that ends this much before its declared length is called damaged

_log = logging.getLogger("asrlsa")


def probe(path: str | Path) -> MediaInfo:
    """Describe a recording, after decoding its first sound to be sure that it can be.

    Args:
        path: An audio or video file.

    Returns:
        Length in ms, channels, rate in Hz, codec.

    Raises:
        MediaError: The file is missing, empty, a folder, unreadable, not media, encrypted, damaged, without an audio
            track, or its sound is 0 s long.
    """
    with stream(path) as blocks:
        blocks.decode_first()
        return blocks.info


def stream(path: str | Path, *, channel: int | None = None, block_ms: int = 30_000) -> AudioStream:
    """Decode a recording block by block; at most about two blocks are in memory.

    Args:
        path: An audio or video file.
        channel: Channel to take, from 0; None mixes all channels to mono.
        block_ms: Length of every block but the last, in ms.

    Returns:
        An iterator over float32 arrays of shape (samples,), mono, 16 kHz, within -1 to 1. Once it is exhausted its
        ``notes`` say what was damaged or repaired.

    Raises:
        MediaError: As for `probe`, now or at the first block; or the file has no such channel.
    """
    return AudioStream(Path(path), channel, block_ms)


def load(path: str | Path, channel: int | None = None) -> Samples:
    """Decode a whole recording into memory: 230 MB an hour.

    What `stream` puts in its notes is logged as a warning here.

    Args:
        path: An audio or video file.
        channel: Channel to take, from 0; None mixes all channels to mono.

    Returns:
        float32 array of shape (samples,), mono, 16 kHz.

    Raises:
        MediaError: As for `stream`.
    """
    import numpy as np

    with stream(path, channel=channel) as blocks:
        audio = np.concatenate(list(blocks))
    for note in blocks.notes:
        _log.warning("%s: %s", path, note)
    return audio


def slice_ms(audio: Samples, start: int, end: int) -> Samples:
    """Return the samples from ``start`` to ``end`` in ms, as a view; what lies outside the audio is left out."""
    return audio[max(0, start) * SAMPLES_PER_MS : max(0, end) * SAMPLES_PER_MS]


class AudioStream(Iterator["Samples"]):
    """A recording being decoded: iterate over it for blocks, then read ``notes``.

    A file that is cut off or damaged gives all that decodes and does not raise; the note names the place
    (``stops at 12:31 of 30:00: the file is damaged or incomplete``). Only a file of which nothing decodes raises.

    Attributes:
        path: The file.
        info: What its container says.
        notes: Plain sentences on what was missing or repaired; complete when the stream is exhausted.
        decoded_ms: Length handed out so far, in ms.
        complete: False where the recording ended before its declared length or parts could not be decoded; known
            when the stream is exhausted.
    """

    def __init__(self, path: Path, channel: int | None = None, block_ms: int = 30_000) -> None:
        """Open ``path``; see `stream`."""
        if block_ms <= 0:
            raise ValueError("block_ms must be above 0")
        self.path = path
        self.notes: list[str] = []
        self.complete = True
        self._given = 0
        self._container = open_media(path)
        try:
            self._track = audio_track(self._container, path)
            self.info = media_info(self._container, self._track)
            if channel is not None and not 0 <= channel < self.info.channels:
                raise MediaError(
                    f"{path}: has {self.info.channels} channel{'s'[: self.info.channels != 1]}, "
                    f"so there is no channel {channel + 1}"
                )
        except BaseException:
            self._container.close()
            raise
        self._mixer = Mixer(channel, [c.name for c in self._track.codec_context.layout.channels])
        self._timeline = _Timeline(self)
        self._blocks = self._cut(block_ms * SAMPLES_PER_MS)
        self._first: Samples | None = None

    @property
    def decoded_ms(self) -> int:
        """Length handed out so far, in ms."""
        return self._given // SAMPLES_PER_MS

    def __iter__(self) -> AudioStream:
        return self

    def __next__(self) -> Samples:
        if self._first is not None:
            block, self._first = self._first, None
        else:
            block = next(self._blocks)
        self._given += len(block)
        return block

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; no more blocks follow."""
        self._blocks.close()
        self._container.close()

    def decode_first(self) -> None:
        """Decode the first block now, so that a file without usable sound raises here.

        Raises:
            MediaError: Nothing decodes.
        """
        if self._first is None and self._given == 0:
            self._first = next(self._blocks)

    def _cut(self, size: int) -> Any:
        """Yield mono blocks of ``size`` samples from the pieces of the timeline."""
        import numpy as np

        pending: list[Samples] = []
        held = 0
        for piece in self._timeline.pieces():
            pending.append(piece)
            held += piece.shape[1]
            while held >= size:
                joined = np.concatenate(pending, axis=1)
                yield self._mixer.mono(joined[:, :size])
                pending = [joined[:, size:]]
                held -= size
        if held:
            yield self._mixer.mono(np.concatenate(pending, axis=1))
        self._container.close()
        self.notes.extend(self._mixer.notes())


class _Timeline:
    """Puts decoded frames where their timestamps say: (channels, samples) pieces at 16 kHz without gaps.

    Timestamps behind the sound already decoded (joined files restart at 0) are taken as continuing, so no sound is
    ever dropped. Timestamps ahead of it are filled with silence.
    """

    def __init__(self, owner: AudioStream) -> None:
        self.owner = owner
        self.container = owner._container
        self.track = owner._track
        self.origin = start_of(self.container)
        self.length = declared_length(self.container, self.track)
        self.resampler: Any = None
        self.layout: Any = None
        self.kind: tuple[str, str, int] | None = None
        self.due = 0.0  # s, where the next frame begins if nothing is missing
        self.shift = 0.0  # s, correction of timestamps that jumped
        self.made = 0  # samples at 16 kHz yielded so far
        self.reached = 0.0  # s, the furthest timestamp of any stream
        self.failed: list[tuple[float, float]] = []  # (at, length) in s of packets that did not decode
        self.silence: list[tuple[float, float]] = []  # (at, length) in s of gaps
        self.repaired = 0  # samples that were not numbers
        self.first: int | None = None  # byte of the file at which the sound begins
        self.size = 0  # bytes in packets

    def pieces(self) -> Iterator[Samples]:
        """Yield the recording from 0:00 to its end; then put notes on the owner.

        Raises:
            MediaError: Nothing decodes.
        """
        for frame in self._frames():
            yield from self._place(frame)
        yield from self._flush()
        if self.layout is None:
            self._nothing()
        self._conclude()

    def _frames(self) -> Iterator[Any]:
        """Demux and decode, past packets that are damaged."""
        import av

        streams = (self.track, *moving_pictures(self.container)[:1])
        packets = self.container.demux(*streams)
        refused = 0
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                # One bad page is no reason to give up the rest: the demuxer looks for the next good one.
                self.failed.append((self.due, 0.0))
                refused += 1
                packets = self.container.demux(*streams)
                if refused < _REFUSALS:
                    continue
                packet = None
            if packet is None:
                return
            refused = 0
            if self.first is None:
                self.first = packet.pos
            self.size += packet.size
            self._note_reach(packet)
            if packet.stream.index != self.track.index:
                continue
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, ValueError):
                length = float(packet.duration * packet.time_base) if packet.duration and packet.time_base else 0.0
                self.failed.append((self.due, length))

    def _note_reach(self, packet: Any) -> None:
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None and packet.time_base is not None:
            end = float((stamp + (packet.duration or 0)) * packet.time_base) - self.origin
            self.reached = max(self.reached, end)

    def _place(self, frame: Any) -> Iterator[Samples]:
        """Yield silence up to the frame where there is a gap, then the frame."""
        if frame.samples == 0 or not frame.sample_rate:
            return
        if self.layout is None:
            self.layout = frame.layout.name
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        gap = self._gap(frame)
        if kind != self.kind or gap > 0:
            yield from self._flush()
            self.kind = kind
        if gap > 0:
            self.silence.append((self.due, gap))
            self.due += gap
            yield from self._silent(round(self.due * SAMPLE_RATE) - self.made)
        self.due += frame.samples / frame.sample_rate
        yield from self._resampled(self._finite(frame))

    def _gap(self, frame: Any) -> float:
        """Seconds of silence before ``frame``: 0 where it follows on."""
        if frame.pts is None or frame.time_base is None:
            return 0.0
        gap = float(frame.pts * frame.time_base) - self.origin + self.shift - self.due
        if gap < -_GAP:
            if self.made:
                self.shift -= gap
            return 0.0
        most = self.length + 10 - self.due if self.length is not None else _LONGEST_GAP
        if gap > most:
            self.shift -= gap
            return 0.0
        return gap if gap > (_GAP if self.due else 0.0) else 0.0

    def _finite(self, frame: Any) -> Any:
        """Replace samples that are not numbers, before a filter spreads them."""
        if not self.track.codec_context.name.startswith("pcm_f"):
            return frame
        import av
        import numpy as np

        values = frame.to_ndarray()
        wrong = ~np.isfinite(values)
        count = int(wrong.sum())
        if not count:
            return frame
        self.repaired += count
        clean = av.AudioFrame.from_ndarray(np.where(wrong, 0, values), frame.format.name, frame.layout.name)
        clean.sample_rate = frame.sample_rate
        return clean

    def _resampled(self, frame: Any) -> Iterator[Samples]:
        import av

        if frame is not None:
            frame.pts = None  # the timeline is kept here
            if self.resampler is None:
                # Packed, since PyAV reads past the last plane of planar sound with eight channels and crashes.
                self.resampler = av.AudioResampler(format="flt", layout=self.layout, rate=SAMPLE_RATE)
        elif self.resampler is None:
            return
        for out in self.resampler.resample(frame):
            self.made += out.samples
            yield out.to_ndarray().reshape(out.samples, -1).T

    def _flush(self) -> Iterator[Samples]:
        """Yield what the resampler still holds."""
        yield from self._resampled(None)
        self.resampler = None

    def _silent(self, count: int) -> Iterator[Samples]:
        import av
        import numpy as np

        channels = len(av.AudioLayout(self.layout).channels)
        while count > 0:
            part = min(count, N_SAMPLES)
            self.made += part
            count -= part
            yield np.zeros((channels, part), dtype=np.float32)

    def _nothing(self) -> None:
        """Raise for a recording of which no frame decoded."""
        path = self.owner.path
        if self.failed:
            raise MediaError(f"{path}: is damaged or encrypted: none of its sound decodes; copy or export it again")
        raise MediaError(f"{path}: has no sound in it (0 s long); record or export it again")

    def _conclude(self) -> None:
        notes = self.owner.notes
        if self.owner.info.tracks > 1:
            notes.append(f"has {self.owner.info.tracks} audio tracks; only the default track is used")
        for at, length in self.silence:
            if length >= 1:
                notes.append(f"no sound from {clock(at)} to {clock(at + length)} in the file; taken as silence")
        # A packet cut in two by the end of the file is told by the note on the end.
        inside = [at for at, _ in self.failed if at < self.due - 1]
        lost = sum(length for _, length in self.failed)
        if inside and (len(inside) > 1 or lost > _GAP):
            notes.append(
                f"some of the sound ({len(inside)} packets, the first at {clock(inside[0])}) can't be decoded and is "
                "silence or missing: the file is damaged"
            )
            self.owner.complete = False
        self._check_bytes()
        if self.repaired:
            notes.append(f"{self.repaired} samples are not numbers and were taken as silence")
        self._check_end()

    def _check_bytes(self) -> None:
        """Note bytes that FFmpeg steps over in raw AAC without a word: each frame is found by its own header."""
        if self.container.format.name != "aac" or not self.size or self.first is None:
            return
        lost = (self.owner.path.stat().st_size - self.first - self.size) * self.due / self.size
        if lost >= 1:
            self.owner.notes.append(
                f"about {lost:.0f} s of the sound can't be decoded and is missing: the file is damaged"
            )
            self.owner.complete = False

    def _check_end(self) -> None:
        """Note an end before the declared length; a picture that runs on after the sound is not one."""
        total = promised_length(self.container, self.owner.path)
        if total is not None and total - max(self.reached, self.due) > _MISSING:
            self.owner.notes.append(f"stops at {clock(self.due)} of {clock(total)}: the file is damaged or incomplete")
            self.owner.complete = False
