"""``asrlsa verbatimize``: every trusted word stays, only disfluencies come in, and the result is valid CHAT."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import asrlsa.verbatimize as verb
from asrlsa.audio import load
from asrlsa.chat.check import check_chat
from asrlsa.chat.parser import parse_chat, read_chat
from asrlsa.cli import app
from asrlsa.disfluency import read_main_tier
from asrlsa.errors import ChatError, ConfigError, OutputError, UsageError
from asrlsa.language import language_table
from asrlsa.models import resolve_model
from asrlsa.speech.decode import Decoded, Encoded
from asrlsa.speech.led import Expected, Forced, LedRecogniser
from asrlsa.trusted.blocks import disfluent_parts, kind_of
from asrlsa.trusted.placing import place
from asrlsa.trusted.plain import text_to_transcript
from asrlsa.trusted.weaving import Said, woven
from asrlsa.trusted.words import TrustedWord, copies_first, trusted_words, with_block, word_key, written
from asrlsa.types import Participant, Span, Transcript, Utterance, Word

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
ENGLISH = language_table("eng")
SECOND = 16_000

CLEAN = """@UTF8
@Begin
@Languages:\teng
@Participants:\tCHI Target_Child, INV Investigator
@ID:\teng|study|CHI|6;02.|female|||Target_Child|||
@ID:\teng|study|INV|||||Investigator|||
@Date:\t01-JAN-2020
@Comment:\ttranscribed by hand
*INV:\twhat happened ?
*CHI:\t+< the wind took it [= the kite] .
%mor:\tdet|the n|wind v|take&PAST pro|it .
%com:\tpoints
@G:\tsecond picture
*CHI:\tshe (.) ran after it .
@End
"""


def transcript(*tiers: str) -> Transcript:
    head = ["@UTF8", "@Begin", "@Languages:\teng", "@Participants:\tCHI Child", "@ID:\teng|a|CHI|||||Child|||"]
    return parse_chat("\n".join([*head, *(f"*CHI:\t{tier}" for tier in tiers), "@End"]) + "\n")


def texts(words: Sequence[TrustedWord]) -> list[str]:
    return [f"+{w.text}" if w.token is None else w.text for w in words]


# Words


def test_trusted_words_are_what_was_said_with_marks_and_places():
    words, masks = trusted_words(
        transcript("well , <the dog> [//] the cat &+r ran L_E_D xxx .", "xxx he 0is &-um big ?")
    )
    assert [w.text for w in words] == ["well", "the", "dog", "the", "cat", "r-", "ran", "LED", "he", "um", "big"]
    assert [w.token for w in words][:4] == [0, 3, 4, 7]
    assert [w.mark for w in words] == [",", "", "", "", "", "", "", ".", "", "", "?"]
    assert masks == [8, 8]
    assert written(words[-3:]) == ["He", "um", "big?"]


def test_a_block_takes_over_the_capital_and_may_have_commas():
    words, _ = trusted_words(transcript("we saw it ."))
    assert written(with_block(words, 0, ("um",), before=",", after=",")) == ["Um,", "we", "saw", "it."]
    assert written(with_block(words, 2, ("um",), before=",", after=",")) == ["We", "saw,", "um,", "it."]
    assert written(with_block(words, 3, ("um",), after=",")) == ["We", "saw", "it.", "Um"]
    assert [w.utterance for w in with_block(words, 3, ("um",))] == [0, 0, 0, 0]


def test_of_two_copies_the_last_one_is_the_trusted_one():
    words, _ = trusted_words(transcript("I want it ."))
    again = with_block(with_block(words, 1, ("I",)), 1, ("um",))
    assert texts(again) == ["I", "+um", "+I", "want", "it"]
    assert texts(copies_first(again)) == ["+I", "+um", "I", "want", "it"]
    assert [w.token for w in copies_first(again) if w.token is not None] == [0, 1, 2]
    cut = with_block(words, 1, ("I", "w-"))
    assert texts(copies_first(cut)) == ["+I", "I", "+w-", "want", "it"]
    phrase = with_block(words, 2, ("I", "want"))
    assert texts(copies_first(phrase)) == ["+I", "+want", "I", "want", "it"]


# What counts as a disfluency


@pytest.mark.parametrize(
    ("block", "following", "kind"),
    [
        ("um", "the dog", "filler"),
        ("uh um", "", "filler"),
        ("the", "the dog", "repetition"),
        ("the um the", "the dog", "repetition"),
        ("the dog um", "the dog ran", "repetition"),
        ("d-", "dog ran", "fragment"),
        ("d-", "the dog", "fragment"),
        ("I d-", "I dug", "repetition"),
        ("the cat", "the dog ran", "retracing"),
        ("were", "was gone", "retracing"),
        ("d-", "cat ran", None),
        ("big", "dog", None),
        ("really", "", None),
        ("the", "", None),
        ("dog-", "dog ran", None),
        ("he went home and then", "he ran", None),
    ],
)
def test_kinds(block: str, following: str, kind: str | None):
    assert kind_of(tuple(block.split()), [word_key(w) for w in following.split()], ENGLISH) == kind


def test_of_a_mixed_block_only_what_stands_right_before_the_word_and_the_fillers():
    assert list(disfluent_parts(("okay", "um", "the"), ["the", "dog"], ENGLISH)) == [("um", "the"), ("um",)]
    assert list(disfluent_parts(("nothing", "like"), ["it"], ENGLISH)) == []


# Windows


def heard(text: str, start: int) -> list[Word]:
    return [Word(w, start + 300 * n, start + 300 * n + 200) for n, w in enumerate(text.split())]


def test_words_find_their_windows_though_some_were_not_heard():
    words, masks = trusted_words(transcript("one two three four five .", "six seven eight nine ten ."))
    free = [heard("one um two four", 0), heard("seven eight eight ten", 10_000)]
    placed = place(words, masks, [None] * 10, free, [Span(0, 9_000), Span(10_000, 19_000)])
    assert placed.windows == (0, 0, 0, 0, 0, 0, 1, 1, 1, 1)
    assert placed.heard == (True, True, False, True, False, False, True, True, False, True)
    assert placed.between == {1: ("um",)}


def test_a_bullet_places_what_was_not_heard_and_overrules_a_match_far_away():
    words, masks = trusted_words(transcript("yes .", "no ."))
    bullets = [Span(500, 900), Span(11_000, 12_000)]
    spans = [Span(0, 5_000), Span(9_000, 15_000)]
    placed = place(words, masks, bullets, [heard("no", 300), heard("mhm", 11_000)], spans)
    assert placed.windows == (0, 1)
    assert placed.heard == (False, False)
    nowhere = place(words, masks, [Span(40_000, 41_000)] * 2, [[], []], spans)
    assert nowhere.windows == (None, None)


# Main tiers


def said_of(text: str, inserted: dict[int, str]) -> list[Said]:
    words, _ = trusted_words(transcript(text))
    entries: list[Said] = []
    for n in range(len(words) + 1):
        entries += [Said(Word(w), None) for w in inserted.get(n, "").split()]
        entries += [Said(Word(words[n].text), words[n].token)] if n < len(words) else []
    return entries


@pytest.mark.parametrize(
    ("text", "inserted", "expected"),
    [
        ("I ran .", {0: "um"}, "&-um I ran ."),
        ("I ran .", {2: "um"}, "I ran &-um ."),
        ("+< I ran .", {0: "I um"}, "+< I [/] &-um I ran ."),
        ("I want it .", {0: "I want"}, "<I want> [/] I want it ."),
        ("I was here .", {0: "I I"}, "I [/] I [/] I was here ."),
        ("the cat ran .", {0: "the dog"}, "<the dog> [//] the cat ran ."),
        ("a dog , ran .", {1: "d-", 2: "um"}, "a &+d dog , &-um ran ."),
        ("<the dog> [//] the cat ran .", {0: "um", 1: "uh"}, "&-um <the &-uh dog> [//] the cat ran ."),
        ("it broke [*] (.) again [+ gram] .", {2: "um"}, "it broke [*] (.) &-um again [+ gram] ."),
        ("“ go ” he said .", {0: "um"}, "“ &-um go ” he said ."),
        ("he ran +/.", {2: "w-"}, "he ran &+w +/."),
        ("he ran .", {2: "he"}, "he ran ."),
        ("six point five .", {0: "six six"}, "six [/] six [/] six point five ."),
        ("very big .", {0: "very"}, "very [/] very big ."),
    ],
)
def test_insertions_are_coded_and_everything_else_stays(text: str, inserted: dict[int, str], expected: str):
    assert woven(text, said_of(text, inserted), ENGLISH) == expected


TIERS = (
    "the dog ran .",
    "<the big dog> [//] a cat (.) ran , &-um away [*] .",
    "+< &-uh I [/] I want (be)cause she's L_E_D s::o .",
    "“ go ” said &+m mom &*CHI:mhm ice+cream [: sorbet] +/.",
    "<I [/] I want> [//] he ran xxx [=! laughs] !",
)


@given(st.data())
def test_whatever_is_inserted_the_clean_words_stay_and_the_tier_is_valid(data: st.DataObject):
    text = data.draw(st.sampled_from(TIERS))
    words, _ = trusted_words(transcript(text))
    inserted = {}
    for n in range(len(words) + 1):
        copy = " ".join(word_key(w.text) for w in words[n : n + 2] if "-" not in w.text)
        choices = st.sampled_from(["", "", "um", "uh um", "b-", copy])
        inserted[n] = data.draw(choices)
    new = woven(text, said_of(text, inserted), ENGLISH)
    assert read_main_tier(new).clean == read_main_tier(text).clean
    before = [p for p in check_chat(transcript(text).to_chat()) if p.severity == "error"]
    assert [p for p in check_chat(transcript(new).to_chat()) if p.severity == "error"] == before == []


# Plain text


def test_a_plain_text_becomes_a_transcript():
    people = [Participant("CHI", "Target_Child")]
    made = text_to_transcript("I had 2 dogs. They ran!\nINV: And um then?\n\nWhat?", language="en", participants=people)
    assert [(u.speaker, u.text) for u in made.utterances] == [
        ("CHI", "I had two dogs ."),
        ("CHI", "they ran !"),
        ("INV", "and &-um then ?"),
        ("INV", "what ?"),
    ]
    with pytest.raises(ChatError, match="no words"):
        text_to_transcript(" \n", language="en")


# The verb, with a recogniser that knows what was said


class Knowing:
    """A recogniser for a recording of one window: it hears ``truth``, word by word, 300 ms each."""

    multilingual = False
    device = "cpu"

    def __init__(self, truth: str, free: str | None = None):
        self.truth = truth.split()
        self.free = (truth if free is None else free).split()

    def features(self, audio: np.ndarray) -> np.ndarray:
        return audio[None]

    def encode(self, features: Sequence[np.ndarray]) -> Encoded:
        return Encoded(tuple(features))

    def words(self, said: Sequence[str]) -> tuple[Word, ...]:
        ours, truth = [word_key(w) for w in said], [word_key(w) for w in self.truth]
        times: dict[int, int] = {}
        sure = [0.001] * len(said)
        for tag, a, b, c, d in SequenceMatcher(None, ours, truth, autojunk=False).get_opcodes():
            times.update(zip(range(a, b), range(c, d), strict=False))
            sure[a:b] = [0.9 if tag == "equal" else 0.001] * (b - a)
        starts = [300 * times.get(i, 0) + 300 for i in range(len(said))]
        return tuple(Word(w, s, s + 250, p) for w, s, p in zip(said, starts, sure, strict=True))

    def decode(self, encoded: Encoded, durations: Sequence[int], **options: object) -> list[Decoded]:
        return [Decoded(self.words(self.free), -0.2, 0.0, False)]

    def expect(self, encoded: Encoded, words: Sequence[str], **options: object) -> Expected:
        ours = [word_key(w) for w in words]
        truth = [word_key(w) for w in self.truth]
        known: dict[str, int] = {}

        def first(text: str) -> int:
            return known.setdefault(word_key(text).rstrip("-") or text, len(known))

        rows = np.full((len(ours) + 1, 500), -20.0, np.float32)
        at = 0
        for i in range(len(ours) + 1):
            rows[i, first(truth[at] if at < len(truth) else "")] = -0.1
            if i < len(ours) and ours[i] in truth[at:]:
                at = truth.index(ours[i], at) + 1
        return Expected(rows, first)

    def force(self, encoded: Encoded, texts: Sequence[Sequence[str]], duration: int, **options: object) -> list[Forced]:
        found = []
        for text in texts:
            ours, truth = [word_key(w) for w in text], [word_key(w) for w in self.truth]
            blocks = SequenceMatcher(None, ours, truth, autojunk=False).get_opcodes()
            errors = sum(max(b - a, d - c) for tag, a, b, c, d in blocks if tag != "equal")
            found.append(Forced(self.words(text), -5.0 * errors))
        return found


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Eight seconds of the project's own synthetic speech: enough for the detector to see a window."""
    audio, _ = soundfile.read(SAMPLES / "kite_story.flac", dtype="float32")
    path = tmp_path / "visit.wav"
    soundfile.write(path, audio[: 8 * SECOND], SECOND, subtype="PCM_16")
    return path


def upgrade(transcript: Path, recording: Path, options: verb.VerbatimizeOptions | None = None, **where):
    return verb.Verbatimizer(options).write(transcript, recording, **where)


def hears(monkeypatch: pytest.MonkeyPatch, truth: str, free: str | None = None) -> None:
    """Let the verb load a recogniser that hears ``truth`` and writes ``free`` on its own account."""
    model = SimpleNamespace(name="fake", card=None, adapter="", fingerprint="0" * 64)
    monkeypatch.setattr(verb, "find_model", lambda *a, **k: model)
    monkeypatch.setattr(verb, "LedRecogniser", lambda *a, **k: Knowing(truth, free))


def write_clean(folder: Path, text: str = CLEAN, name: str = "visit.cha") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_disfluencies_come_in_and_all_else_stays(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch, judge
):
    hears(monkeypatch, "what happened the um the wind took it uh she she r- ran after it")
    given_path = write_clean(tmp_path)

    target, result = upgrade(given_path, recording)

    assert target == tmp_path / "verbatim" / "visit.cha"
    assert given_path.read_text(encoding="utf-8") == CLEAN
    text = target.read_text(encoding="utf-8")
    assert check_chat(text, "visit") == []
    assert judge(text) == []
    made = read_chat(target)
    assert [u.text for u in made.utterances] == [
        "what happened ?",
        "+< the [/] &-um the wind took it [= the kite] .",
        "&-uh she [/] she (.) &+r ran after it .",
    ]
    before = parse_chat(CLEAN)
    kept = [h for h in made.headers if h in before.headers]
    assert kept == list(before.headers)
    assert [t for u in made.utterances for t in u.tiers if t.name in ("mor", "com")] == [
        t for u in before.utterances for t in u.tiers
    ]
    assert "@Media:\tvisit, audio" in text
    assert all(u.start is not None for u in made.utterances)
    wor = [[w.text for w in u.words] for u in made.utterances]
    assert wor[1] == ["the", "um", "the", "wind", "took", "it"]
    assert result.inserted["filled_pause"] == 2
    assert result.inserted["word_repetition"] == 2
    assert result.inserted["fragment"] == 1
    assert (result.words, result.unheard, result.remark) == (10, 0, "")


def test_what_the_model_expects_is_tried_though_it_wrote_nothing_of_it(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
):
    hears(
        monkeypatch,
        "what happened the the wind took it um she ran after it",
        free="what happened the wind took it she ran after it",
    )
    options = verb.VerbatimizeOptions(align=False)
    _, result = upgrade(write_clean(tmp_path), recording, options=options)
    assert [u.text for u in result.transcript.utterances][1:] == [
        "+< the [/] the wind took it [= the kite] .",
        "&-um she (.) ran after it .",
    ]


def test_words_that_are_no_disfluency_and_wrong_words_never_come_in(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
):
    hears(monkeypatch, "what really happened then the strong wind blew it down she walked after him")
    _, result = upgrade(write_clean(tmp_path), recording)
    before = parse_chat(CLEAN)
    assert [u.text for u in result.transcript.utterances] == [u.text for u in before.utterances]
    assert sum(result.inserted.values()) == 0
    assert result.unheard == 3
    assert result.remark == "3 of 10 words had no evidence in the recording; they were kept"
    assert result.remark in result.transcript.to_chat()


def test_bullets_that_are_there_stay_and_grow_only_for_insertions(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
):
    timed = CLEAN.replace("@Date", "@Media:\tvisit, audio\n@Date")
    for line, bullet in (("happened ?", "200_1000"), ("kite] .", "1500_2500"), ("after it .", "2900_4200")):
        timed = timed.replace(line, f"{line} \x15{bullet}\x15")
    hears(monkeypatch, "what happened um the wind took it she ran after it")
    _, result = upgrade(write_clean(tmp_path, timed), recording, options=verb.VerbatimizeOptions(align=False))
    utterances: Sequence[Utterance] = result.transcript.utterances
    assert [(u.start, u.end) for u in utterances] == [(200, 1000), (utterances[1].start, 2500), (2900, 4200)]
    assert utterances[1].text.startswith("+< &-um the")
    assert 1000 <= (utterances[1].start or 0) <= 1500
    assert result.transcript.to_chat().count("@Media") == 1
    assert check_chat(result.transcript.to_chat()) == []


def test_a_plain_text_gets_times(tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch):
    hears(monkeypatch, "the wind um took it she she ran")
    path = write_clean(tmp_path, "The wind took it. She ran.", "notes.txt")
    target, result = upgrade(path, recording, out=tmp_path / "o")
    assert target == tmp_path / "o" / "visit.cha"
    assert [u.text for u in result.transcript.utterances] == ["the wind &-um took it .", "she [/] she ran ."]
    assert check_chat(target.read_text(encoding="utf-8"), "visit") == []


def test_a_silent_recording_and_a_transcript_without_words_come_back_as_they_are(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
):
    hears(monkeypatch, "um")
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(4 * SECOND), SECOND, subtype="PCM_16")
    path = write_clean(tmp_path)
    _, result = upgrade(path, silent)
    assert [(u.text, u.start) for u in result.transcript.utterances] == [
        (u.text, None) for u in parse_chat(CLEAN).utterances
    ]
    assert result.unheard == result.words == 10
    assert result.remark.endswith("Is this the recording of the transcript?")
    wordless = write_clean(tmp_path, transcript("0 [=! waves] .").to_chat(), "wordless.cha")
    _, result = upgrade(wordless, recording)
    assert (result.words, [u.text for u in result.transcript.utterances]) == (0, ["0 [=! waves] ."])


def test_nothing_is_overwritten_and_errors_say_where(tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch):
    hears(monkeypatch, "what happened")
    path = write_clean(tmp_path)
    with pytest.raises(UsageError, match="the file to read from"):
        upgrade(path, recording, out=tmp_path, force=True)
    target, _ = upgrade(path, recording)
    with pytest.raises(OutputError, match="--force replaces it"):
        upgrade(path, recording)
    assert upgrade(path, recording, force=True)[0] == target
    broken = write_clean(tmp_path, CLEAN.replace("took it", "took 2"), "broken.cha")
    with pytest.raises(ConfigError, match="'xyz' is not possible"):
        upgrade(path, recording, verb.VerbatimizeOptions(language="xyz"), force=True)
    with pytest.raises(ChatError, match=r"broken\.cha:10:.*not valid CHAT.*asrlsa check"):
        upgrade(broken, recording, out=tmp_path / "other")


def test_the_command_tells_what_it_did_and_its_exit_codes(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
):
    hears(monkeypatch, "what happened um the wind took it she ran")
    path = write_clean(tmp_path)
    call = ["verbatimize", str(path), str(recording)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "inserted 1 filled pause" in done.output
    assert "2 of 10 words had no evidence" in done.output
    again = CliRunner().invoke(app, call)
    assert again.exit_code == 2
    assert "--force" in again.output
    assert CliRunner().invoke(app, [*call, "--force", "-q"]).output == ""
    (tmp_path / "noise.wav").write_text("no sound", encoding="utf-8")
    assert CliRunner().invoke(app, ["verbatimize", str(path), str(tmp_path / "noise.wav")]).exit_code == 2


def test_folders_are_paired_by_name_and_one_failure_stops_nothing(
    tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
):
    hears(monkeypatch, "what um happened")
    texts, sound = tmp_path / "texts", tmp_path / "sound"
    (texts / "b").mkdir(parents=True)
    sound.mkdir()
    for name in ("one", "two"):
        (sound / f"{name}.wav").write_bytes(recording.read_bytes())
    write_clean(texts, "What happened?", "one.txt")
    write_clean(texts / "b", CLEAN.replace("took it", "took 2"), "two.cha")
    done = CliRunner().invoke(app, ["verbatimize", str(texts), str(sound), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2, done.output
    assert "two.cha:9" in done.output or "two.cha:10" in done.output
    assert [p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.cha")] == ["one.cha"]
    write_clean(texts, "Nobody recorded this.", "three.txt")
    with pytest.raises(UsageError, match=r"three\.txt: no recording is called three"):
        verb.find_pairs(texts, sound)
    with pytest.raises(UsageError, match="the folder of the recordings"):
        verb.find_pairs(texts, recording)
    assert verb.find_pairs(texts / "one.txt", sound) == [(texts / "one.txt", sound / "one.wav", None)]


# The real model


@pytest.mark.weights
def test_led_along_a_text_a_model_expects_what_it_gives_its_words():
    recogniser = LedRecogniser(resolve_model("tiny.en", offline=True), threads=1)
    audio = load(SAMPLES / "kite_story.flac")[: 4 * SECOND]
    encoded = recogniser.encode([recogniser.features(audio)])
    words = ["Okay,", "look", "at", "these", "pictures", "and", "tell", "me", "the", "story."]
    expected = recogniser.expect(encoded, words, language="en")
    (forced,) = recogniser.force(encoded, [words], 4_000, language="en")
    assert expected is not None
    for n, word in enumerate(words[1:-1], 1):  # one token each
        assert expected.log_probability(n, word) == pytest.approx(np.log(forced.words[n].confidence), abs=0.3)
    assert expected.log_probability(len(words), "") > expected.log_probability(len(words), "um")
    wrong, same = recogniser.force(encoded, [["Okay,", "um,", *words[1:]], words], 4_000, language="en", times=False)
    assert wrong.log_probability < same.log_probability - 3
    assert same.log_probability == pytest.approx(forced.log_probability)
    starts = [w.start for w in forced.words]
    assert starts == sorted(starts)
    assert recogniser.expect(encoded, ["word"] * 500, language="en") is None
    assert recogniser.force(encoded, [["word"] * 500], 4_000, language="en")[0].log_probability == -np.inf


@pytest.mark.weights
def test_a_cleaned_sample_gets_its_fillers_and_repetitions_back(tmp_path: Path, judge):
    gold = read_chat(SAMPLES / "kite_story.cha")
    text = re.sub(r" ?\x15[^\x15]*\x15", "", gold.to_chat()).replace("kite_story, audio", "kite_story, audio, unlinked")
    for u in gold.utterances:
        reading = read_main_tier(u.text)
        text = text.replace(f"\t{u.text}", f"\t{' '.join(reading.clean)} {reading.terminator}")
    path = write_clean(tmp_path, text, "clean.cha")
    options = verb.VerbatimizeOptions(model="tiny.en", offline=True)

    target, result = upgrade(path, SAMPLES / "kite_story.flac", out=tmp_path / "out", options=options)

    made = read_chat(target)
    assert judge(target.read_text(encoding="utf-8")) == []
    assert check_chat(target.read_text(encoding="utf-8"), "kite_story") == []
    for new, old in zip(made.utterances, gold.utterances, strict=True):
        assert read_main_tier(new.text).clean == read_main_tier(old.text).clean
        assert abs((new.start or 0) - (old.start or 0)) < 600
    assert result.inserted["filled_pause"] >= 2
    assert result.inserted["word_repetition"] + result.inserted["phrase_repetition"] >= 3
    assert result.unheard <= 3
