"""Recordings of every kind, whole and damaged, decode to 16 kHz mono with true times."""

from __future__ import annotations

import os
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from asrlsa.audio import N_SAMPLES, SAMPLE_RATE, load, probe, slice_ms, stream
from asrlsa.errors import MediaError

TONE_HZ = 440


def tone(seconds: float, rate: int, channels: int = 1, level: float = 0.3) -> np.ndarray:
    """Sine of 440 Hz, shape (channels, samples)."""
    wave_form = level * np.sin(2 * np.pi * TONE_HZ * np.arange(int(seconds * rate)) / rate)
    return np.tile(wave_form.astype(np.float32), (channels, 1))


def write(
    path: Path,
    codec: str,
    *,
    rate: int = 44_100,
    layout: str = "mono",
    samples: np.ndarray | None = None,
    seconds: float = 3.0,
    delay: float = 0.0,
    gap: tuple[float, float] | None = None,
    picture: bool = False,
    bit_rate: int | None = None,
    **options: object,
) -> Path:
    """Encode a tone, or ``samples`` (channels, samples), with PyAV; ``gap`` = (from, to) seconds that are left out."""
    channels = len(av.AudioLayout(layout).channels)
    if samples is None:
        samples = tone(seconds, rate, channels)
    with av.open(str(path), "w", **options) as container:
        track = container.add_stream(codec, rate=rate, layout=layout)
        if bit_rate:
            track.bit_rate = bit_rate
        if codec == "vorbis":
            track.codec_context.options = {"strict": "experimental"}
        packets = _picture(container, samples.shape[1] / rate) if picture else []
        if not track.codec_context.is_open:
            track.codec_context.open()
        for packet in _sound(track, rate, layout, samples):
            at = float(packet.pts * packet.time_base)
            if gap is None or not gap[0] <= at < gap[1]:
                packet.pts += round(delay / packet.time_base)
                packet.dts += round(delay / packet.time_base)
                packets.append(packet)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    return path


def _picture(container, seconds):
    video = container.add_stream("mpeg4", rate=10)
    video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
    packets = []
    for number in range(int(seconds * 10)):
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        image.pts, image.time_base = number, Fraction(1, 10)
        packets += video.encode(image)
    return packets + video.encode(None)


def _sound(track, rate, layout, samples):
    context = track.codec_context
    resampler = av.AudioResampler(format=context.format.name, layout=layout, rate=rate, frame_size=context.frame_size)
    packets = []
    step = rate // 10
    for begin in range(0, samples.shape[1], step):
        part = np.ascontiguousarray(samples[:, begin : begin + step])
        frame = av.AudioFrame.from_ndarray(part, "fltp", layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        for out in resampler.resample(frame):
            packets += track.encode(out)
    for out in resampler.resample(None):
        packets += track.encode(out)
    return packets + track.encode(None)


def pitch(audio: np.ndarray) -> float:
    """Strongest frequency in Hz."""
    return float(np.abs(np.fft.rfft(audio)).argmax() * SAMPLE_RATE / len(audio))


def onset_ms(audio: np.ndarray) -> float:
    """First loud sample in ms."""
    return float((np.abs(audio) > 0.1).argmax() / SAMPLE_RATE * 1000)


KINDS = [
    ("wav", "pcm_s16le", 44_100, {}),
    ("wav", "pcm_u8", 8_000, {}),
    ("wav", "pcm_s24le", 48_000, {}),
    ("wav", "pcm_s32le", 48_000, {}),
    ("wav", "pcm_f32le", 16_000, {}),
    ("wav", "pcm_f64le", 22_050, {}),
    ("wav", "pcm_mulaw", 8_000, {}),
    ("wav", "adpcm_ms", 22_050, {}),
    ("aiff", "pcm_s16be", 44_100, {}),
    ("caf", "pcm_s16le", 44_100, {}),
    ("au", "pcm_mulaw", 8_000, {}),
    ("mp3", "libmp3lame", 44_100, {}),
    ("mp3", "libmp3lame", 16_000, {}),
    ("m4a", "aac", 44_100, {}),
    ("m4a", "alac", 44_100, {}),
    ("flac", "flac", 16_000, {}),
    ("ogg", "vorbis", 44_100, {}),
    ("ogg", "libopus", 48_000, {}),
    ("opus", "libopus", 48_000, {}),
    ("aac", "aac", 44_100, {}),
    ("wma", "wmav2", 44_100, {"bit_rate": 128_000}),
    ("mp4", "aac", 48_000, {"picture": True}),
    ("mov", "pcm_s16le", 48_000, {"picture": True}),
    ("mkv", "aac", 48_000, {"picture": True}),
    ("mkv", "flac", 16_000, {}),
    ("webm", "libopus", 48_000, {}),
    ("avi", "libmp3lame", 44_100, {"picture": True}),
    ("avi", "pcm_s16le", 16_000, {"picture": True}),
    ("wmv", "wmav2", 44_100, {"bit_rate": 128_000, "picture": True}),
    ("3gp", "libopencore_amrnb", 8_000, {}),
    ("ac3", "ac3", 48_000, {}),
]
STEREO_ONLY = {"vorbis"}  # FFmpeg's own encoder writes two channels only
MONO_ONLY = {"libopencore_amrnb"}


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize(
    ("suffix", "codec", "rate", "more"), KINDS, ids=lambda v: str(v) if not isinstance(v, dict) else ""
)
def test_every_kind_decodes_to_the_same_sound(tmp_path, suffix, codec, rate, more, layout):
    if (codec in STEREO_ONLY and layout == "mono") or (codec in MONO_ONLY and layout == "stereo"):
        pytest.skip("the encoder can't write it")
    if codec in MONO_ONLY and codec not in av.codec.codecs_available:
        pytest.skip("this PyAV has no AMR encoder")
    path = write(tmp_path / f"a.{suffix}", codec, rate=rate, layout=layout, **more)
    info = probe(path)
    assert info.channels == (1 if layout == "mono" else 2)
    assert info.sample_rate == rate
    assert info.video == more.get("picture", False)
    assert info.duration_ms == pytest.approx(3000, abs=120)
    with stream(path, block_ms=1000) as blocks:
        parts = list(blocks)
    assert blocks.complete
    assert blocks.notes == []
    assert all(len(part) == SAMPLE_RATE for part in parts[:-1])
    audio = np.concatenate(parts)
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert len(audio) / SAMPLE_RATE == pytest.approx(3, abs=0.12)
    assert pitch(audio[8_000:40_000]) == TONE_HZ
    assert np.sqrt((audio[8_000:40_000] ** 2).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=0.25)
    # Raw streams keep the delay of their encoder, as in every player; FFmpeg's WMA encoder has two frames of it.
    assert onset_ms(audio) < (100 if codec == "wmav2" else 30)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("wav", "pcm_s16le"), ("m4a", "aac"), ("ogg", "libopus"), ("flac", "flac")]
)
def test_five_point_one(tmp_path, suffix, codec):
    path = write(tmp_path / f"a.{suffix}", codec, rate=48_000, layout="5.1")
    assert probe(path).channels == 6
    audio = load(path)
    assert pitch(audio[8_000:40_000]) == TONE_HZ
    assert 0.1 < np.abs(audio).max() < 0.5


def test_bass_is_left_out_of_the_mean(tmp_path):
    samples = tone(1, 16_000, 6)
    samples[3] = 0.9  # FL FR FC LFE ...
    path = write(tmp_path / "a.wav", "pcm_s16le", rate=16_000, layout="5.1", samples=samples)
    np.testing.assert_allclose(load(path), samples[0], atol=1e-3)
    np.testing.assert_allclose(load(path, channel=3), samples[3], atol=1e-3)


def test_each_channel_can_be_taken_alone(tmp_path):
    samples = np.zeros((2, 32_000), np.float32)
    samples[0, :16_000] = tone(1, 16_000)
    samples[1, 16_000:] = tone(1, 16_000)
    path = write(tmp_path / "a.wav", "pcm_s16le", rate=16_000, layout="stereo", samples=samples)
    left, right, both = load(path, channel=0), load(path, channel=1), load(path)
    assert np.abs(left[:16_000]).max() > 0.29
    assert np.abs(left[16_100:]).max() == 0
    assert np.abs(right[:15_900]).max() == 0
    assert np.abs(right[16_000:]).max() > 0.29
    np.testing.assert_allclose(both, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize("channel", [2, -1])
def test_a_channel_that_is_not_there(tmp_path, channel):
    path = write(tmp_path / "a.wav", "pcm_s16le", layout="stereo")
    with pytest.raises(MediaError, match="has 2 channels, so there is no channel"):
        stream(path, channel=channel)


@pytest.mark.parametrize("channels", [3, 4, 8, 9, 16])  # eight crashed PyAV's planar frames
def test_channels_without_positions(tmp_path, channels):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes((tone(1, 16_000, channels).T * 32_767).astype("<i2").tobytes())
    assert probe(path).channels == channels
    assert pitch(load(path)) == TONE_HZ
    assert pitch(load(path, channel=channels - 1)) == TONE_HZ
    with stream(path, block_ms=100) as blocks:
        assert sum(len(block) for block in blocks) == 16_000


def test_blocks_join_to_what_load_gives(tmp_path):
    path = write(tmp_path / "a.m4a", "aac", seconds=5)
    whole = load(path)
    for block_ms in (1, 333, 10_000):
        with stream(path, block_ms=block_ms) as blocks:
            np.testing.assert_array_equal(np.concatenate(list(blocks)), whole)
        assert blocks.decoded_ms == len(whole) // 16


def test_slices_in_milliseconds():
    audio = np.arange(N_SAMPLES, dtype=np.float32)
    assert slice_ms(audio, 1000, 2000)[0] == 16_000
    assert len(slice_ms(audio, 1000, 2000)) == 16_000
    assert len(slice_ms(audio, 29_000, 40_000)) == 16_000
    assert len(slice_ms(audio, -500, 500)) == 8_000
    assert len(slice_ms(audio, 2000, 1000)) == 0


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_late_audio_track_begins_with_silence(tmp_path, suffix):
    path = write(tmp_path / f"a.{suffix}", "aac", rate=48_000, picture=True, delay=0.7)
    assert onset_ms(load(path)) == pytest.approx(700, abs=30)


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"), [("mkv", "flac", 16_000), ("webm", "libopus", 48_000), ("ts", "aac", 48_000)]
)
def test_missing_packets_become_silence_and_later_times_stay(tmp_path, suffix, codec, rate):
    samples = tone(6, rate)
    samples[:, : rate * 4] *= 0.1
    path = write(tmp_path / f"a.{suffix}", codec, rate=rate, samples=samples, gap=(1.0, 3.0))
    with stream(path) as blocks:
        audio = np.concatenate(list(blocks))
    assert onset_ms(audio) == pytest.approx(4000, abs=60)
    assert np.abs(slice_ms(audio, 1300, 2700)).max() == 0
    assert any("no sound from 0:01 to 0:03" in note or "no sound from 0:01 to 0:02" in note for note in blocks.notes)


def test_an_offset_of_the_whole_file_is_not_silence(tmp_path):
    # Streams cut out of a broadcast begin at any timestamp; a player shows 0:00 there.
    path = write(tmp_path / "a.mkv", "flac", rate=16_000, delay=500.0)
    audio = load(path)
    assert len(audio) / SAMPLE_RATE == pytest.approx(3, abs=0.1)
    assert onset_ms(audio) < 60


def test_joined_files_lose_nothing(tmp_path):
    one, two = (write(tmp_path / f"{n}.ogg", "libopus", rate=48_000).read_bytes() for n in "ab")
    path = tmp_path / "joined.ogg"
    path.write_bytes(one + two)
    audio = load(path)
    assert len(audio) / SAMPLE_RATE == pytest.approx(6, abs=0.2)
    assert np.abs(audio[-8_000:]).max() > 0.2


# --- levels -----------------------------------------------------------------------------------------------------------


def test_samples_that_are_not_numbers(tmp_path):
    samples = tone(3, 44_100)
    samples[0, 1000:1100] = np.nan
    samples[0, 2000] = np.inf
    samples[0, 2001] = -np.inf
    path = write(tmp_path / "a.wav", "pcm_f32le", samples=samples)
    with stream(path) as blocks:
        audio = np.concatenate(list(blocks))
    assert np.isfinite(audio).all()
    assert np.abs(audio).max() < 0.32
    assert blocks.notes == ["102 samples are not numbers and were taken as silence"]


def test_floats_with_the_range_of_integers(tmp_path):
    path = write(tmp_path / "a.wav", "pcm_f32le", samples=tone(3, 44_100) * 32_768)
    with stream(path) as blocks:
        audio = np.concatenate(list(blocks))
    assert np.abs(audio).max() == pytest.approx(0.3, rel=0.05)
    assert blocks.notes == ["float samples beyond -1 to 1 were scaled down"]


def test_overshooting_floats_are_clipped(tmp_path):
    audio = load(write(tmp_path / "a.wav", "pcm_f32le", samples=tone(3, 44_100) * 5))
    assert np.abs(audio).max() == 1
    assert pitch(audio[8_000:40_000]) == TONE_HZ


def test_full_scale_integers_do_not_wrap(tmp_path):
    square = np.sign(tone(2, 44_100))
    audio = load(write(tmp_path / "a.wav", "pcm_s16le", samples=square))
    assert np.abs(audio).max() <= 1
    assert pitch(audio) == pytest.approx(TONE_HZ, abs=1)


def test_very_quiet_sound_survives(tmp_path):
    audio = load(write(tmp_path / "a.wav", "pcm_s24le", samples=tone(3, 44_100, level=3e-5)))
    assert pitch(audio[8_000:40_000]) == TONE_HZ
    assert 1e-5 < np.abs(audio).max() < 1e-4


def test_channels_in_opposite_phase_do_not_cancel(tmp_path):
    samples = tone(3, 44_100, 2)
    samples[1] *= -1
    path = write(tmp_path / "a.wav", "pcm_s16le", layout="stereo", samples=samples)
    with stream(path) as blocks:
        audio = np.concatenate(list(blocks))
    assert np.abs(audio).max() == pytest.approx(0.3, rel=0.05)
    assert "opposite in phase" in blocks.notes[0]


def test_a_silent_channel_is_not_taken_for_opposite_phase(tmp_path):
    samples = tone(3, 44_100, 2)
    samples[1] = 0
    path = write(tmp_path / "a.wav", "pcm_s16le", layout="stereo", samples=samples)
    with stream(path) as blocks:
        audio = np.concatenate(list(blocks))
    assert blocks.notes == []
    assert np.abs(audio).max() == pytest.approx(0.15, rel=0.05)


def test_digital_silence(tmp_path):
    audio = load(write(tmp_path / "a.flac", "flac", rate=16_000, samples=np.zeros((1, 48_000), np.float32)))
    assert len(audio) == 48_000
    assert not audio.any()


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows forbids")
@pytest.mark.parametrize(
    "name", ["a b.wav", "-rf.wav", "Zoë 日本.wav", "child:2.wav", "http:x.wav", "%03d.wav", "a#b?c.wav", "it's.wav"]
)
def test_odd_names(tmp_path, monkeypatch, name):
    write(tmp_path / "plain.wav", "pcm_s16le", rate=16_000).rename(tmp_path / name)
    assert probe(tmp_path / name).duration_ms == 3000
    monkeypatch.chdir(tmp_path)
    assert len(load(Path(name))) == 48_000


@pytest.mark.skipif(sys.platform != "linux", reason="names that are not text exist on Linux only")
def test_a_name_that_is_not_text(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/Zo\xeb.wav"))
    write(tmp_path / "plain.wav", "pcm_s16le", rate=16_000).rename(path)
    assert len(load(path)) == 48_000


def test_a_title_that_is_not_utf8(tmp_path):
    data = write(tmp_path / "a.wav", "pcm_s16le", rate=16_000).read_bytes()
    title = b"INFOINAM\x06\0\0\0Zo\xeb 1\0"
    chunk = b"LIST" + len(title).to_bytes(4, "little") + title
    path = tmp_path / "b.wav"
    path.write_bytes(data[:4] + (len(data) - 8 + len(chunk)).to_bytes(4, "little") + data[8:12] + chunk + data[12:])
    assert probe(path).duration_ms == 3000


# --- what is not a recording ------------------------------------------------------------------------------------------

RANDOM = np.random.default_rng(0).bytes(100_000)
BAD = {
    "empty.wav": (b"", "is empty"),
    "text.wav": (b"hello world\n" * 100, "is not a recording"),
    "text.mp3": (b"hello world\n" * 100, "is not a recording"),
    "random.mp3": (RANDOM, "none of its sound decodes|is not a recording"),
    "random.wav": (RANDOM, "is not a recording"),
    "zeros.mp4": (bytes(10_000), "filled with zeros"),
    "archive.mp3": (b"PK\x03\x04" + b"a" * 1000, "zip archive"),
    "header.wav": (b"RIFF\x24\x00\x00\x00WAVE", "is damaged"),
    "titles.srt": (b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n", "has no sound"),
    "list.m3u8": (b"#EXTM3U\n#EXTINF:1,\nhttp://example.invalid/a.ts\n", "is a playlist|is not a recording"),
    "list.ffconcat": (b"ffconcat version 1.0\nfile a.wav\n", "is a playlist|is not a recording"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_a_recording(tmp_path, name, capfd):
    content, message = BAD[name]
    path = tmp_path / name
    path.write_bytes(content)
    for read in (probe, load):
        with pytest.raises(MediaError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(MediaError, match="no such file"):
        probe(tmp_path / "none.wav")
    with pytest.raises(MediaError, match="is a folder"):
        probe(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", "pcm_s16le")

    def refuse(*args: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(MediaError, match="may not be read by this user"):
        probe(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(MediaError, match="device or pipe"):
        probe(tmp_path / "a.wav")


def test_sound_of_zero_length(tmp_path):
    path = tmp_path / "a.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
    with pytest.raises(MediaError, match="0 s long"):
        probe(path)


def test_a_picture_without_sound(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for number in range(10):
            image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
            image.pts, image.time_base = number, Fraction(1, 10)
            container.mux(video.encode(image))
        container.mux(video.encode(None))
    with pytest.raises(MediaError, match="has a picture but no sound"):
        probe(path)


def test_encrypted_mp4(tmp_path):
    key = "0123456789abcdef0123456789abcdef"
    path = write(
        tmp_path / "a.mp4",
        "aac",
        rate=48_000,
        container_options={"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key},
    )
    with pytest.raises(MediaError, match="is encrypted \\(MP4 common encryption\\)"):
        probe(path)


def test_protected_windows_media(tmp_path):
    path = write(tmp_path / "a.wma", "wmav2", bit_rate=128_000)
    data = bytearray(path.read_bytes())
    data[200:216] = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
    path.write_bytes(data)
    with pytest.raises(MediaError, match="Windows Media DRM"):
        probe(path)


def test_audible_book(tmp_path):
    data = bytearray(write(tmp_path / "a.m4a", "aac").read_bytes())
    data[8:12] = b"aax "
    (tmp_path / "a.aax").write_bytes(data)
    with pytest.raises(MediaError, match=r"encrypted \(Audible\)"):
        probe(tmp_path / "a.aax")


def test_an_mp4_that_was_never_finished(tmp_path):
    data = write(tmp_path / "a.m4a", "aac", seconds=20).read_bytes()
    path = tmp_path / "cut.m4a"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="was never finished"):
        probe(path)


def test_a_cover_picture_is_not_a_video(tmp_path):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        track = container.add_stream("libmp3lame", rate=16_000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        if hasattr(cover, "disposition"):
            cover.disposition = av.stream.Disposition.attached_pic.value
        image = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24").reformat(format="yuvj420p")
        image.pts, image.time_base = 0, Fraction(1, 1)
        container.mux(cover.encode(image))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(tone(1, 16_000), "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
        resampler = av.AudioResampler(format="s16p", layout="mono", rate=16_000, frame_size=576)
        for out in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(track.encode(out))
        container.mux(track.encode(None))
    assert probe(path).video is False
    assert load(path).size > 15_000


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "codec", "rate", "more"),
    [
        ("wav", "pcm_s16le", 44_100, {}),
        ("mp3", "libmp3lame", 44_100, {}),
        ("flac", "flac", 16_000, {}),
        ("mkv", "aac", 48_000, {"picture": True}),
        ("webm", "libopus", 48_000, {}),
        ("m4a", "aac", 44_100, {"container_options": {"movflags": "+faststart"}}),
        ("wma", "wmav2", 44_100, {"bit_rate": 128_000}),
    ],
)
def test_a_file_that_is_cut_off_gives_what_there_is(tmp_path, suffix, codec, rate, more):
    data = write(tmp_path / f"a.{suffix}", codec, rate=rate, seconds=20, **more).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(data[: len(data) * 6 // 10])
    with stream(path) as blocks:
        audio = np.concatenate(list(blocks))
    assert 10 < len(audio) / SAMPLE_RATE < 14
    assert pitch(audio[16_000:144_000]) == TONE_HZ
    assert not blocks.complete
    assert any(note.startswith("stops at 0:1") and "of 0:20: the file is damaged" in note for note in blocks.notes)


def test_a_recorder_that_crashed_leaves_no_length_and_no_complaint(tmp_path):
    path = write(tmp_path / "a.wav", "pcm_s16le", rate=16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    for length in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        data[at : at + 4] = length
        path.write_bytes(data)
        with stream(path) as blocks:
            assert sum(len(block) for block in blocks) == 48_000
        assert blocks.complete


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"), [("opus", "libopus", 48_000), ("mkv", "aac", 48_000), ("ts", "aac", 48_000)]
)
def test_a_hole_does_not_move_what_follows(tmp_path, suffix, codec, rate):
    samples = tone(20, rate)
    samples[:, : rate * 15] *= 0.1
    path = write(tmp_path / f"a.{suffix}", codec, rate=rate, samples=samples)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    path.write_bytes(data)
    with stream(path) as blocks:
        audio = np.concatenate(list(blocks))
    assert len(audio) / SAMPLE_RATE == pytest.approx(20, abs=0.2)
    assert onset_ms(audio) == pytest.approx(15_000, abs=60)
    assert blocks.notes


@pytest.mark.parametrize("junk", ["zeros", "noise"])
def test_bytes_lost_in_raw_aac_are_told(tmp_path, junk):
    path = write(tmp_path / "a.aac", "aac", seconds=20)
    whole = path.read_bytes()
    with stream(path) as blocks:
        assert sum(len(block) for block in blocks) > 19 * 16_000
    assert blocks.notes == []
    first, size = len(whole) // 3, len(whole) // 5
    other = bytes(size) if junk == "zeros" else np.random.default_rng(1).bytes(size)
    path.write_bytes(whole[:first] + other + whole[first + size :])
    with stream(path) as blocks:
        assert sum(len(block) for block in blocks) < 19 * 16_000
    assert "can't be decoded" in blocks.notes[0]


def test_damage_that_load_meets_is_logged(tmp_path, caplog):
    data = write(tmp_path / "a.flac", "flac", rate=16_000, seconds=20).read_bytes()
    path = tmp_path / "cut.flac"
    path.write_bytes(data[: len(data) // 2])
    load(path)
    assert "the file is damaged" in caplog.text
    assert str(path) in caplog.text


def test_two_audio_tracks_are_told(tmp_path):
    path = tmp_path / "a.mka"
    with av.open(str(path), "w", format="matroska") as container:
        tracks = [container.add_stream("flac", rate=16_000, layout="mono") for _ in range(2)]
        for packet in [p for track in tracks for p in _sound(track, 16_000, "mono", tone(1, 16_000))]:
            container.mux(packet)
    with stream(path) as blocks:
        assert sum(len(block) for block in blocks) == 16_000
    assert blocks.info.tracks == 2
    assert blocks.notes == ["has 2 audio tracks; only the default track is used"]


# --- bounds -----------------------------------------------------------------------------------------------------------

MEMORY = """
import resource, sys
from asrlsa.audio import stream
with stream(sys.argv[1]) as blocks:
    first = len(next(blocks))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rest = sum(len(block) for block in blocks)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((first + rest) // 16000, (after - before) * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs getrusage")
def test_three_hours_are_never_in_memory_at_once(tmp_path):

    path = tmp_path / "long.wav"
    hours, rate = 3, 8_000
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(rate)
        minute = bytes(np.random.default_rng(0).integers(120, 136, rate * 60, dtype=np.uint8))
        for _ in range(hours * 60):
            out.writeframesraw(minute)
    done = subprocess.run([sys.executable, "-c", MEMORY, str(path)], capture_output=True, text=True, check=True)
    seconds, grown = (int(word) for word in done.stdout.split())
    assert seconds == hours * 3600
    assert grown < 20_000_000  # bytes; the whole would be 690 MB


def test_importing_audio_loads_neither_numpy_nor_av():
    code = "import sys, asrlsa.audio; print([m for m in ('numpy', 'av') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
