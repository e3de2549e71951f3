"""Opening a recording's container, and saying plainly why one can't be opened.

Everything here looks at the file from outside: is it there, is it media, has it sound, is it protected, how long
does it say it is. `asrlsa.audio` decodes the sound.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from asrlsa.errors import MediaError

if TYPE_CHECKING:
    from av.container import InputContainer

MICROSECONDS = 1_000_000  # container times of FFmpeg are in microseconds

# Formats that point to other files or to the network: a recording is one file, and nothing is fetched.
_PLAYLISTS = frozenset({"hls", "concat", "dash", "sdp", "rtp", "rtsp", "imf"})

# Elementary streams have no field for their length: FFmpeg guesses it from the bit rate.
_NO_LENGTH = frozenset(
    {"mp3", "mp2", "aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "gsm", "loas", "mpegts", "mpeg", "dts"}
)

_STILL_PICTURES = frozenset({"mjpeg", "png", "bmp", "gif", "webp"})
_ATTACHED_PICTURE = 0x400  # AV_DISPOSITION_ATTACHED_PIC of FFmpeg; PyAV's type for it changed between versions
_MUSIC_FORMATS = frozenset({"mp3", "flac", "ogg", "asf", "wav", "aiff", "ape", "wv", "tta"})

_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # File Properties Object
_ASF_PROTECTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),  # Content Encryption Object
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),  # Extended Content Encryption Object
)


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a recording's container says about its sound.

    Attributes:
        duration_ms: Length in ms, or None where the container does not say (a browser's WebM, a raw stream).
        channels: Channels of the audio track that is used.
        sample_rate: Rate of that track in Hz.
        video: Whether the file has a moving picture (a cover picture is not one).
        codec: Codec of the track, in FFmpeg's spelling: ``pcm_s16le``, ``aac``, ``opus``.
        tracks: Number of audio tracks; the container's default track is used.
    """

    duration_ms: int | None
    channels: int
    sample_rate: int
    video: bool
    codec: str
    tracks: int = 1


def check_readable(path: Path) -> None:
    """Check from outside that ``path`` is a file with something in it that this user may read.

    Raises:
        MediaError: It is missing, a folder, empty, not a regular file or not readable.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise MediaError(f"{path}: is a folder, not a recording; give a file")
        if not stat.S_ISREG(found.st_mode):
            raise MediaError(f"{path}: is a device or pipe, not a file; save the recording to a file first")
        if found.st_size == 0:
            raise MediaError(f"{path}: is empty (0 bytes); copy or export the recording again")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise MediaError(f"{path}: no such file") from None
    except PermissionError:
        raise MediaError(f"{path}: may not be read by this user; change its permissions") from None
    except OSError as error:
        raise MediaError(f"{path}: can't be read ({error.strerror or error})") from None


def open_media(path: Path) -> InputContainer:
    """Open a recording with FFmpeg, from the local file only.

    Raises:
        MediaError: It can't be opened; the message says why and what to do.
    """
    import av

    check_readable(path)
    protection = _protection(path)
    if protection:
        raise MediaError(f"{path}: is encrypted ({protection}); export it without copy protection")
    # A title that is not UTF-8 is no reason to refuse a recording; PyAV 19 no longer has to be told so.
    tags: dict[str, Any] = {} if int(av.__version__.partition(".")[0]) >= 19 else {"metadata_errors": "ignore"}
    try:
        # "file:" keeps a name such as "child:2.wav" from being read as a protocol; the list keeps playlists offline.
        container: InputContainer = av.open(f"file:{path}", mode="r", options={"protocol_whitelist": "file"}, **tags)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise MediaError(f"{path}: {_why_not_media(path)}") from error
    formats = set(container.format.name.split(","))
    if formats & _PLAYLISTS:
        container.close()
        raise MediaError(f"{path}: is a playlist, not a recording; give the recording that it points to")
    return container


def audio_track(container: InputContainer, path: Path) -> Any:
    """Return the audio stream to use: the container's default track.

    Raises:
        MediaError: There is no audio track, or no decoder for it.
    """
    tracks = container.streams.audio
    if not tracks:
        what = "has a picture but no sound" if container.streams.video else "has no sound"
        raise MediaError(f"{path}: {what} (no audio track); give the file that holds the sound")
    track = container.streams.best("audio") or tracks[0]
    if track.codec_context is None:
        raise MediaError(f"{path}: its audio codec is not known to this FFmpeg; export it as WAV")
    return track


def media_info(container: InputContainer, track: Any) -> MediaInfo:
    """Describe the sound of an open container; times in ms."""
    length = declared_length(container, track)
    return MediaInfo(
        duration_ms=None if length is None else round(length * 1000),
        channels=len(track.codec_context.layout.channels),
        sample_rate=int(track.codec_context.sample_rate or 0),
        video=bool(moving_pictures(container)),
        codec=track.codec_context.name,
        tracks=len(container.streams.audio),
    )


def declared_length(container: InputContainer, track: Any) -> float | None:
    """Length of the recording in seconds as its container gives it, or None.

    The audio track's own length is used where it has one, from the start of the container, as a player counts.
    """
    if track.duration is not None and track.time_base is not None and track.duration > 0:
        begin = max(0.0, float((track.start_time or 0) * track.time_base) - start_of(container))
        return begin + float(track.duration * track.time_base)
    if container.duration is not None and container.duration > 0:
        return container.duration / MICROSECONDS
    return None


def start_of(container: InputContainer) -> float:
    """Timestamp in seconds that a media player shows as 0:00."""
    return max(0, container.start_time or 0) / MICROSECONDS


def promised_length(container: InputContainer, path: Path) -> float | None:
    """Length in seconds that is written in the file, for the whole container; None where it is only an estimate."""
    names = set(container.format.name.split(","))
    if "wav" in names:
        return _wav_length(path)  # FFmpeg lowers the length of a file that was cut off to what is there
    if "asf" in names:
        return _asf_length(path)
    if names & _NO_LENGTH and not ("mp3" in names and _has_mp3_length(path)):
        return None
    return container.duration / MICROSECONDS if container.duration else None


def moving_pictures(container: InputContainer) -> list[Any]:
    """Return the video streams that are not a cover picture."""
    music = bool(set(container.format.name.split(",")) & _MUSIC_FORMATS)
    found = []
    for video in container.streams.video:
        codec = video.codec_context.name if video.codec_context is not None else ""
        disposition = getattr(video, "disposition", 0)
        attached = int(getattr(disposition, "value", disposition)) & _ATTACHED_PICTURE
        # A cover is marked as attached; older PyAV does not say so, there the codec tells.
        if attached or (codec in _STILL_PICTURES and (music or (video.frames or 0) == 1)):
            continue
        found.append(video)
    return found


def _why_not_media(path: Path) -> str:
    """Say what is wrong with a file that FFmpeg refuses."""
    with path.open("rb") as file:
        head = file.read(64)
        boxes = _mp4_boxes(file)
    if {"ftyp", "mdat"} & set(boxes) and "moov" not in boxes and head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return (
            "was never finished (it lacks the index that a recorder writes last): the recording or the copy was "
            "interrupted; copy it again, or repair it with the recorder's own tool"
        )
    if head[:4] == b"PK\x03\x04":
        return "is a zip archive; unpack it first"
    if not any(head):
        return "is filled with zeros: the copy or download was not finished; copy it again"
    if head[:4] == b"RIFF" or head[:4] in (b"fLaC", b"OggS", b"\x1aE\xdf\xa3") or head[4:8] == b"ftyp":
        return "is damaged: it begins like a recording, but its header can't be read; copy or export it again"
    return "is not a recording (no audio or video format is recognised); if it is encrypted, decrypt it first"


def _protection(path: Path) -> str | None:
    """Name the copy protection of an MP4-like or Windows Media file, or None.

    Decoding a protected file can give noise instead of an error, so it is looked for before.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
            if head == _ASF_HEADER:
                objects = file.read(64 * 1024)
                return "Windows Media DRM" if any(guid in objects for guid in _ASF_PROTECTION) else None
            if head[4:8] != b"ftyp":
                return None
            if head[8:12] in (b"aax ", b"aaxc"):
                return "Audible"
            moov = _mp4_boxes(file).get("moov")
            if moov is None:
                return None
            file.seek(moov[0])
            index = file.read(min(moov[1], 32 * 1024 * 1024))
    except OSError:
        return None
    # sinf = protection information of a track, schm = its scheme: both stand in every protected MP4 and in no other.
    if b"sinf" not in index or b"schm" not in index:
        return None
    return "iTunes FairPlay" if b"drms" in index or b"itun" in index else "MP4 common encryption"


def _mp4_boxes(file: BinaryIO) -> dict[str, tuple[int, int]]:
    """Return name -> (offset, bytes) of the outermost MP4 boxes; stops at what is not one."""
    boxes: dict[str, tuple[int, int]] = {}
    end = file.seek(0, 2)
    at = 0
    while at + 8 <= end and len(boxes) < 64:
        file.seek(at)
        head = file.read(16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:16], "big")
        elif size == 0:
            size = end - at
        if size < 8 or not all(32 <= letter < 127 for letter in name):
            break
        boxes.setdefault(name.decode("ascii"), (at, size))
        at += size
    return boxes


def _has_mp3_length(path: Path) -> bool:
    """Whether an MP3 has the Xing, Info or VBRI header that holds its number of frames."""
    with path.open("rb") as file:
        head = file.read(10)
        begin = 0
        if head[:3] == b"ID3":
            # Seven bits a byte, so that the size can't look like an MP3 frame.
            begin = 10 + sum((byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        file.seek(begin)
        frame = file.read(4096)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _wav_length(path: Path) -> float | None:
    """Length in seconds that the header of a WAV gives where the file is shorter than that, else None.

    A recorder that crashed leaves 0 or the largest number as the length; then nothing is promised.
    """
    rate = 0
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(0)
        if file.read(12)[:4] != b"RIFF":
            return None
        while len(head := file.read(8)) == 8:
            name, size = head[:4], int.from_bytes(head[4:], "little")
            if name == b"data":
                cut = rate and size < 0x7FFF_0000 and file.tell() + size > end
                return size / rate if cut else None
            body = file.read(16) if name == b"fmt " else b""
            rate = int.from_bytes(body[8:12], "little") if body else rate
            file.seek(size + size % 2 - len(body), 1)
    return None


def _asf_length(path: Path) -> float | None:
    """Length in seconds that the header of a Windows Media file gives, or None."""
    with path.open("rb") as file:
        head = file.read(64 * 1024)
    at = head.find(_ASF_PROPERTIES) + 64  # behind GUID, sizes, identifier, date and number of packets
    if at < 64 or len(head) < at + 24:
        return None
    played, _, preroll = (int.from_bytes(head[at + i : at + i + 8], "little") for i in (0, 8, 16))
    return max(0.0, played / 1e7 - preroll / 1e3) or None  # units of 100 ns, and ms


def clock(seconds: float) -> str:
    """Write seconds as a player does: ``12:31`` or ``1:02:31``."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
