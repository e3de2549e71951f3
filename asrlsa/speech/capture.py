"""Sound that is still coming in: a microphone, a file that grows, a pipe; mono float32 blocks at 16 kHz.

Every source collects in a thread of its own what comes in while the recogniser works.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from asrlsa.audio import SAMPLE_RATE, SAMPLES_PER_MS
from asrlsa.errors import AsrlsaError, MediaError, UsageError
from asrlsa.media import audio_track
from asrlsa.mixing import Mixer
from asrlsa.recordings import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from asrlsa.types import Milliseconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

BLOCK_MS = 100
BLOCK = BLOCK_MS * SAMPLES_PER_MS
READ_AHEAD_MS = 120_000  # of a file or pipe; a microphone can't wait, so its sound is kept whatever it needs
POLL = 0.05  # s between two looks at a file
MAGIC = {
    b"RIFF": "WAV",
    b"RF64": "WAV",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"\x1aE\xdf\xa3": "Matroska or WebM",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"ID3": "MP3",
}
RAW = "raw signed 16-bit samples, little-endian, 16 kHz, mono"
# FFmpeg: believe no length in a header that is still being written, and look at little before the first sound.
FOLLOWING = {"ignore_length": "1", "probesize": "65536", "analyzeduration": "500000"}


class Feed(Protocol):
    """Sound that is coming in.

    Attributes:
        description: What it is, for the user.
        notes: What was wrong with it.
    """

    description: str
    notes: list[str]

    @property
    def waiting_ms(self) -> Milliseconds:
        """How much has come in and was not taken."""
        ...

    def next(self) -> Samples | None:
        """Return the next block of at most 100 ms, waiting for it; None at the end.

        Raises:
            MediaError: The sound can't be read.
        """
        ...

    def stop(self) -> None:
        """Take in no more; what has come in is still given out."""
        ...


class Collected:
    """A feed that a thread or a driver fills with ``put`` until ``end``."""

    def __init__(self, description: str, limit_ms: Milliseconds | None) -> None:
        """Start empty; ``put`` waits while more than ``limit_ms`` is there, where that is not None."""
        self.description = description
        self.notes: list[str] = []
        self._limit = limit_ms
        self._blocks: deque[Samples] = deque()
        self._rest: list[Samples] = []
        self._held = 0  # samples in _blocks and _rest
        self._change = threading.Condition()
        self._ended = False
        self._stopped = threading.Event()
        self._error: AsrlsaError | None = None

    @property
    def waiting_ms(self) -> Milliseconds:
        """How much has come in and was not taken."""
        return self._held // SAMPLES_PER_MS

    @property
    def limit_ms(self) -> Milliseconds | None:
        """The most that ``waiting_ms`` can be, or None where there is no limit."""
        return self._limit

    def put(self, samples: Samples) -> bool:
        """Add sound; False where no more is wanted."""
        import numpy as np

        with self._change:
            while self._limit is not None and self.waiting_ms > self._limit and not self._stopped.is_set():
                self._change.wait(0.2)
            if self._stopped.is_set():
                return False
            self._rest.append(samples)
            self._held += len(samples)
            if sum(map(len, self._rest)) >= BLOCK:
                joined = np.concatenate(self._rest)
                whole = len(joined) // BLOCK * BLOCK
                self._blocks.extend(joined[i : i + BLOCK] for i in range(0, whole, BLOCK))
                self._rest = [joined[whole:]]
                self._change.notify_all()
        return True

    def end(self, error: AsrlsaError | None = None) -> None:
        """Say that no more comes."""
        with self._change:
            self._ended, self._error = True, error
            self._change.notify_all()

    def next(self) -> Samples | None:
        """Return the next block, waiting for it; None at the end."""
        import numpy as np

        with self._change:
            while not self._blocks and not self._ended and not self._stopped.is_set():
                self._change.wait(0.2)  # not for ever: Ctrl-C is seen in between
            if self._blocks:
                block = self._blocks.popleft()
            elif self._error is not None:
                raise self._error
            elif self._rest and self._held:
                block, self._rest = np.concatenate(self._rest), []
            else:
                return None
            self._held -= len(block)
            self._change.notify_all()
            return block

    def stop(self) -> None:
        """Take in no more."""
        self._stopped.set()


class Microphone(Collected):
    """The microphone, through PortAudio.

    Raises:
        UsageError: The sounddevice package or PortAudio is not installed.
        MediaError: There is no such microphone, or it can't be opened.
    """

    def __init__(self, device: str | None = None) -> None:
        """Open the default microphone, or ``device``: a number or a part of the name."""
        sound = _sounddevice()
        wanted: Any = int(device) if device is not None and device.isdigit() else device
        try:
            info = sound.query_devices(wanted, "input")
            rate = _rate(sound, wanted, info)
            super().__init__(f"microphone {info['name']}, {rate} Hz", None)
            self._resample = _Resampler(rate, "mono") if rate != SAMPLE_RATE else None
            self._lost = False
            self._stream = sound.InputStream(
                device=wanted, samplerate=rate, channels=1, dtype="float32", callback=self._heard
            )
            self._stream.start()
        except (sound.PortAudioError, ValueError) as error:
            what = f"microphone {device!r}" if device else "the microphone"
            raise MediaError(f"{what} can't be used ({error}); `python -m sounddevice` lists what there is") from None

    def _heard(self, block: Samples, frames: int, moment: Any, status: Any) -> None:
        """Keep a block; PortAudio calls this in its own thread."""
        if getattr(status, "input_overflow", False) and not self._lost:
            self._lost = True
            self.notes.append("the microphone lost some sound: the machine was too busy")
        samples = block[:, 0].copy()
        for piece in [samples] if self._resample is None else self._resample(samples[None]):
            self.put(piece)

    def stop(self) -> None:
        """Close the microphone."""
        with suppress(Exception):  # it may have been pulled out
            self._stream.stop()
            self._stream.close()
        super().stop()


class Piped(Collected):
    """Sound as bytes from a pipe or a growing file: a container that FFmpeg reads from front to back, else raw samples.

    What it is, is told by its first bytes: WAV, FLAC, Ogg, Matroska, WebM, AIFF, CAF, MP3 with an ID3 tag. Anything
    else is taken as raw signed 16-bit samples, 16 kHz, mono, unless the name says that it is media.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        name: str,
        path: Path | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin to read.

        Args:
            read: ``read(n)`` waits for bytes and gives at most ``n`` of them, none at the end.
            name: What it is, for the user.
            path: The file that the bytes come from, if it is one.
            close: Called at the end.
        """
        super().__init__(name, READ_AHEAD_MS)
        self._path = path or Path(name)
        self._read, self._close = read, close
        self._known = threading.Event()
        threading.Thread(target=self._run, name="capture", daemon=True).start()

    def wait(self) -> None:
        """Wait until it is known what it is; ``description`` says so then."""
        while not self._known.wait(0.2):
            pass

    def _run(self) -> None:
        error: AsrlsaError | None = None
        try:
            head = b""
            while len(head) < 12 and (more := self._read(12 - len(head))):
                head += more
            stream = _Stream(head, self._read, self._stopped)
            kind = next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")
            if not kind and self._path.suffix.lower() in (*AUDIO_SUFFIXES, *VIDEO_SUFFIXES):
                kind = self._path.suffix[1:].upper()
            self.description += f", {kind or RAW}"
            self._known.set()
            if kind and head:
                self._decode(stream)
            else:
                self._convert(stream)
        except AsrlsaError as problem:
            error = problem
        except OSError as problem:
            error = MediaError(f"{self._path}: can't be read ({problem.strerror or problem})")
        finally:
            self._close()
            self._known.set()
            self.end(error)

    def _convert(self, stream: _Stream) -> None:
        """Take raw samples."""
        import numpy as np

        half = b""
        while data := stream.read(2 * BLOCK):
            data = half + data
            whole = len(data) // 2 * 2
            half = data[whole:]
            if not self.put(np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32_768)):
                return

    def _decode(self, stream: _Stream) -> None:
        """Take what FFmpeg decodes."""
        import av

        try:
            with av.open(stream, mode="r", options=dict(FOLLOWING)) as container:
                track = audio_track(container, self._path)
                mixer = Mixer(None, [c.name for c in track.codec_context.layout.channels])
                resample: _Resampler | None = None
                for frame in container.decode(track):
                    if resample is None:
                        resample = _Resampler(frame.sample_rate, frame.layout.name)
                    for piece in resample.frame(frame):
                        if not self.put(mixer.mono(piece)):
                            return
                for piece in resample.frame(None) if resample is not None else ():
                    self.put(mixer.mono(piece))
                self.notes += mixer.notes()
        except (av.error.FFmpegError, ValueError) as error:
            if self._stopped.is_set():
                return
            raise MediaError(
                f"{self._path}: can't be decoded while it grows ({error}); WAV, FLAC, Ogg, WebM and raw samples can"
            ) from None


class Paced:
    """A recording fed as a microphone would give it, against a clock; for measurements and tests.

    Without ``sleep`` time is simulated: it advances by the work done between two calls, as ``clock`` measures it, and
    by the waiting for sound, which takes no time then. So a recording is heard as fast as it can be recognised, with
    the delays that it would have had.

    Attributes:
        now: Seconds since the recording began.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        """Begin at 0 s with ``samples`` (samples,), mono, 16 kHz."""
        self.description = "recording at its own pace"
        self.notes: list[str] = []
        self.now = 0.0
        self._samples, self._taken = samples, 0
        self._clock, self._sleep = clock, sleep
        self._left = clock()

    def _charge(self) -> None:
        moment = self._clock()
        self.now += moment - self._left
        self._left = moment

    @property
    def moment(self) -> float:
        """Seconds since the recording began, the work since the last call included."""
        self._charge()
        return self.now

    @property
    def waiting_ms(self) -> Milliseconds:
        """How much has come in and was not taken."""
        arrived = min(len(self._samples), int(self.moment * SAMPLE_RATE))
        return max(0, arrived - self._taken) // SAMPLES_PER_MS

    def next(self) -> Samples | None:
        """Return the next block once its last sample has been said."""
        self._charge()
        if self._taken >= len(self._samples):
            return None
        block = self._samples[self._taken : self._taken + BLOCK]
        self._taken += len(block)
        ahead = self._taken / SAMPLE_RATE - self.now
        if ahead > 0:
            if self._sleep is not None:
                self._sleep(ahead)
            self.now += ahead
            self._left = self._clock()
        return block

    def stop(self) -> None:
        """End the recording here."""
        self._samples = self._samples[: self._taken]


def follow(path: Path, idle: float, *, clock: Callable[[], float] = time.monotonic) -> Piped:
    """Follow a file that is being written; it ends when it has not grown for ``idle`` seconds.

    Raises:
        MediaError: There is no such file.
    """
    if not path.is_file():
        what = "is not a file" if path.exists() else "no such file"
        raise MediaError(f"{path}: {what}; give a recording that is being written, - for a pipe, or nothing")
    feed: list[Piped] = []
    file = path.open("rb")

    def read(size: int) -> bytes:
        begin = clock()
        while not (data := file.read(size)):
            if clock() - begin >= idle or (feed and feed[0]._stopped.is_set()):
                return b""
            time.sleep(POLL)
        return data

    feed.append(Piped(read, str(path), path, file.close))
    return feed[0]


def standard_input() -> Piped:
    """Read sound from standard input until its end.

    Raises:
        UsageError: It is a keyboard, or there is none.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("standard input holds no sound: pipe it in, such as from ffmpeg, or leave - out")
    raw: Any = sys.stdin.buffer
    return Piped(raw.raw.read, "standard input")  # unbuffered: what is there is taken at once


class _Stream:
    """Bytes as FFmpeg reads them: no way back, no length."""

    def __init__(self, head: bytes, read: Callable[[int], bytes], stopped: threading.Event) -> None:
        self._head, self._read, self._stopped = head, read, stopped

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        if self._head:
            data, self._head = self._head[:size], self._head[size:]
            return data
        return b"" if self._stopped.is_set() else self._read(size)


class _Resampler:
    """Brings sound to 16 kHz, block by block."""

    def __init__(self, rate: int, layout: str) -> None:
        import av

        self._rate, self._layout = rate, layout
        # Packed, since PyAV reads past the last plane of planar sound with eight channels and crashes.
        self._resampler = av.AudioResampler(format="flt", layout=layout, rate=SAMPLE_RATE)

    def frame(self, frame: Any) -> list[Samples]:
        """Return what is complete, each (channels, samples); with None, what is left at the end."""
        if frame is not None:
            frame.pts = None
        return [out.to_ndarray().reshape(out.samples, -1).T for out in self._resampler.resample(frame)]

    def __call__(self, samples: Samples) -> list[Samples]:
        """Resample mono (1, samples); return pieces (samples,)."""
        import av

        frame = av.AudioFrame.from_ndarray(samples, "flt", self._layout)
        frame.sample_rate = self._rate
        return [piece[0] for piece in self.frame(frame)]


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise UsageError("the microphone needs one more package: pip install 'asrlsa[live]'") from None
    except OSError as error:
        raise UsageError(
            f"the microphone needs PortAudio ({error}): install libportaudio2, or feed sound with --live -"
        ) from None
    return sounddevice


def _rate(sound: Any, device: Any, info: Any) -> int:
    """Return 16 kHz where the microphone can do that, else its own rate."""
    try:
        sound.check_input_settings(device=device, samplerate=SAMPLE_RATE, channels=1, dtype="float32")
    except sound.PortAudioError:
        return int(info["default_samplerate"])
    return SAMPLE_RATE
