"""The plan of a recording: who says what, in which voice, with which pauses, in which room. Nothing is heard yet.

Recording number ``n`` depends on the seed, the language and ``n`` only. So a corpus may be made longer later, a part of
it may be made again, and every beginning of it is balanced: each block of twenty recordings holds every population,
one recording of dev, one of test, one without speech, and the same share of each engine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from asrlsa.errors import ConfigError
from asrlsa.synthesis.disfluencies import speak, speak_fluently
from asrlsa.synthesis.languages import SpokenLanguage, load_language
from asrlsa.synthesis.populations import POPULATIONS, Population
from asrlsa.synthesis.sentences import draw_sentence, joined
from asrlsa.synthesis.spoken import Spoken

__all__ = ["BLOCK", "NEGATIVES", "Acoustics", "Plan", "Speaker", "Turn", "plan_recording"]

BLOCK: Final = 20
NEGATIVES: Final = frozenset(("fluent", "doubles", "holding", "letters", "short"))  # kinds of hard negatives
_DEV, _TEST, _SILENT = 0, 1, 2  # places in a block, before it is shuffled
_SHARE = 0.36  # share of utterances that are hard negatives: about as many as hold a disfluency
_TWO_CLAUSES = 0.45  # share of utterances of the main speaker that join two sentences
_SAME_WORDS = 0.5  # share of those that say fluently what was said with disfluencies before
_WORD_SECONDS = 0.29  # s a word and what goes with it takes, about
_LONGEST_OVERLAP = 0.28  # s by which turns may overlap; `asrlsa prepare` leaves out what overlaps by more than 0.3 s


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks.

    Attributes:
        code: Participant code, such as ``PAR``.
        name: Unique in the corpus for a voice at a pitch.
        role: CHAT role.
        group: Group of ``@ID``.
        population: Name of the population.
        engine: ``kokoro`` or ``piper``.
        voice: Names of voices with their shares; two of them are blended.
        speed: Rate of speech; 1 is the voice's own.
        pitch: By how much pitch and formants are raised.
        level: dB against the other speakers.
        distance: Reverberation against the direct sound.
    """

    code: str
    name: str
    role: str
    group: str
    population: str
    engine: str
    voice: tuple[tuple[str, float], ...]
    speed: float
    pitch: float
    level: float
    distance: float


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance in its place.

    Attributes:
        speaker: Position in the plan's speakers.
        spoken: What is said.
        gap: Silence before it in s; negative where it overlaps the one before.
        sound: ``breath``, ``laughter``, ``knock``, ``babble`` or empty: what is heard in the gap.
    """

    speaker: int
    spoken: Spoken
    gap: float
    sound: str = ""


@dataclass(frozen=True, slots=True)
class Acoustics:
    """How a recording sounds.

    Attributes:
        telephone: Heard through a telephone line.
        snr: Noise against speech in dB, or None where there is none.
        babble: Whether the noise is other people's unclear talk.
        room: Time of decay in s; 0 is a dry recording.
        gain: Peak in dB.
    """

    telephone: bool
    snr: float | None
    babble: bool
    room: float
    gain: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One recording.

    Attributes:
        id: Name of its files.
        split: ``train``, ``dev`` or ``test``.
        population: Name of the main speaker's population; ``none`` where nobody speaks.
        speakers: One or two.
        turns: What is said, in order.
        acoustics: How it sounds.
        seed: Of everything that is drawn while it is made audible.
        tail: s after the last turn.
    """

    id: str
    split: str
    population: str
    speakers: tuple[Speaker, ...]
    turns: tuple[Turn, ...]
    acoustics: Acoustics
    seed: int
    tail: float


def plan_recording(number: int, *, language: str = "eng", seed: int = 0, kokoro: float = 1.0) -> Plan:
    """Plan recording ``number``, from 0.

    Args:
        number: Which.
        language: ISO 639-3 code.
        seed: Of the corpus.
        kokoro: Share of the recordings of train in Kokoro's voices; the others have Piper's. Dev and test have
            Kokoro's alone, unless it is 0: then everything is train, since Piper has one voice.

    Raises:
        ConfigError: The language has no file, or no voice of an engine.
    """
    table = load_language(language)
    _check_voices(table, kokoro)
    order = list(range(BLOCK))
    random.Random(f"{language} {seed} block {number // BLOCK}").shuffle(order)
    place = order[number % BLOCK]
    chance = random.Random(f"{language} {seed} recording {number}")
    split = ("dev" if place == _DEV else "test" if place == _TEST else "train") if kokoro else "train"
    engine = "kokoro" if split != "train" or (place * 7 % BLOCK + 0.5) / BLOCK < kokoro else "piper"
    if place == _SILENT:
        return _without_speech(number, language, split, table, engine, chance)
    # Dev and test have one place each in a block: there the population goes by the block.
    cycle = number // BLOCK if split != "train" else place
    who = list(POPULATIONS.values())[cycle % len(POPULATIONS)]
    return _Writer(table, split, engine, who, chance).plan(f"{language}{number:05d}")


def _check_voices(table: SpokenLanguage, kokoro: float) -> None:
    for engine, share in (("kokoro", kokoro), ("piper", 1 - kokoro)):
        if share > 0 and engine not in table.voices:
            raise ConfigError(f"{table.code}.toml names no voices of {engine}; it has {', '.join(table.voices)}")


def _acoustics(chance: random.Random) -> Acoustics:
    snr = chance.uniform(6, 35) if chance.random() < 0.65 else None
    return Acoustics(
        telephone=chance.random() < 0.25,
        snr=snr,
        babble=snr is not None and chance.random() < 0.2,
        room=chance.uniform(0.12, 0.7) if chance.random() < 0.6 else 0.0,
        gain=chance.uniform(-18, -1),
    )


def _without_speech(
    number: int, language: str, split: str, table: SpokenLanguage, engine: str, chance: random.Random
) -> Plan:
    """Plan a recording in which nobody says anything that can be understood."""
    writer = _Writer(table, split, engine, POPULATIONS["adult"], chance)
    # The talk is heard as babble only; see asrlsa.synthesis.render.
    turns = tuple(
        Turn(0, speak_fluently(draw_sentence(table, "talk", split, chance)), chance.uniform(0.3, 2.5), sound)
        for sound in chance.choices(("breath", "laughter", "knock", "babble", ""), (4, 3, 3, 3, 2), k=4)
    )
    acoustics = _acoustics(chance)
    if acoustics.snr is None:
        acoustics = replace(acoustics, snr=chance.uniform(0, 25))
    speaker = writer.speaker("PAR", "Participant", chance.random() < 0.3)
    return Plan(f"{language}{number:05d}", split, "none", (speaker,), turns, acoustics, chance.randrange(1 << 30), 1.0)


class _Writer:
    """One recording while it is planned."""

    def __init__(self, table: SpokenLanguage, split: str, engine: str, who: Population, chance: random.Random) -> None:
        self.table, self.split, self.engine, self.who, self.chance = table, split, engine, who, chance

    def speaker(self, code: str, role: str, child: bool, *, besides: str = "", group: str = "") -> Speaker:
        """Draw a voice."""
        chance = self.chance
        names = [name for name in self.table.voices[self.engine][self.split] if name != besides]
        first = chance.choice(names or [besides])
        alike = [name for name in names if name != first and name[:2] == first[:2]]
        voice: tuple[tuple[str, float], ...] = ((first, 1.0),)
        if alike and chance.random() < 0.5:  # between two voices of one accent and sex lie many more
            share = chance.choice((0.5, 0.6, 0.7))
            voice = ((first, share), (chance.choice(alike), round(1 - share, 1)))
        wide = self.engine == "piper"
        female = first[1:2] == "f"
        if child:
            pitch = chance.uniform(1.12, 1.32) if female else chance.uniform(1.28, 1.5)
        else:
            pitch = chance.uniform(0.88, 1.4) if wide else chance.uniform(0.94, 1.07)
        pitch = round(pitch, 2)
        low, high = self.who.speed if role != "Investigator" else POPULATIONS["adult"].speed
        label = "_".join(f"{name}{round(10 * share)}" if share < 1 else name for name, share in voice)
        return Speaker(
            code=code,
            name=f"{label}_{round(100 * pitch)}",
            role=role,
            group=group,
            population=self.who.name if role != "Investigator" else "adult",
            engine=self.engine,
            voice=voice,
            speed=round(chance.uniform(low, high) * 20) / 20,
            pitch=pitch,
            level=chance.uniform(-5, 0),
            distance=chance.choice((0.0, 0.15, 0.3, 0.6)),
        )

    def plan(self, name: str) -> Plan:
        """Write the whole recording."""
        chance, who = self.chance, self.who
        main = self.speaker("CHI" if who.child else "PAR", who.role, who.child, group=who.group)
        speakers = [main]
        dialogue = chance.random() < 0.65
        if dialogue:
            speakers.append(self.speaker("INV", "Investigator", False, besides=main.voice[0][0]))
        factors = [chance.gammavariate(3.0, 1 / 3.0) for _ in speakers]  # people differ more than chance alone does
        turns: list[Turn] = []
        said: list[Spoken] = []  # with disfluencies, and not yet fluently
        seconds, target = 0.0, chance.uniform(25.0, 28.0)
        while seconds < target:
            asks = 0.8 if not turns else 0.4 if turns[-1].speaker == 0 else 0.08
            speaker = 1 if dialogue and chance.random() < asks else 0
            spoken = self._spoken(speaker, factors[speaker], said)
            gap, sound = self._between(turns[-1].speaker if turns else None, speaker)
            turns.append(Turn(speaker, spoken, gap, sound))
            pauses = sum(piece.pause for piece in spoken.pieces) / 1000
            seconds += gap + pauses + _WORD_SECONDS * len(spoken.pieces) / speakers[speaker].speed + 0.2
        return Plan(
            name,
            self.split,
            who.name,
            tuple(speakers),
            tuple(turns),
            _acoustics(chance),
            chance.randrange(1 << 30),
            chance.uniform(0.1, 0.8),
        )

    def _spoken(self, speaker: int, factor: float, said: list[Spoken]) -> Spoken:
        chance, table = self.chance, self.table
        who = self.who if speaker == 0 else POPULATIONS["adult"]
        if chance.random() < _SHARE:
            if said and chance.random() < _SAME_WORDS:
                return speak_fluently(replace(said.pop(chance.randrange(len(said))).sentence, kind="fluent"))
            kind = chance.choice(table.sections["negative"])
            return speak_fluently(draw_sentence(table, kind, self.split, chance))
        kind = chance.choice(table.sections[who.name if speaker == 0 else "examiner"])
        sentence = draw_sentence(table, kind, self.split, chance)
        if speaker == 0 and sentence.terminator == "." and chance.random() < _TWO_CLAUSES:
            other = draw_sentence(table, kind, self.split, chance)
            sentence = joined(sentence, chance.choice(table.conjunctions), other, table)
        spoken = speak(sentence, who, factor, table, self.split, chance)
        if spoken.events:
            said.append(spoken)
        return spoken

    def _between(self, before: int | None, speaker: int) -> tuple[float, str]:
        """Draw the gap before a turn, and what is heard in it."""
        chance = self.chance
        if before is None:
            gap = chance.uniform(0.1, 1.2)
        elif before == speaker:
            gap = min(3.0, 0.25 + chance.expovariate(1.8))
        else:  # gaps between speakers are about 0.2 s long, and some are overlaps (Stivers et al. 2009)
            gap = min(2.5, max(-_LONGEST_OVERLAP, chance.gauss(0.25, 0.4)))
        if gap > 0.5 and chance.random() < 0.3:
            return gap, chance.choices(("breath", "laughter", "knock", "babble"), (6, 2, 2, 1))[0]
        return gap, ""


def plan_to_json(plan: Plan) -> Mapping[str, Any]:
    """Return what the manifest says of a recording as a whole."""
    return {
        "id": plan.id,
        "split": plan.split,
        "population": plan.population,
        "speakers": [speaker.name for speaker in plan.speakers],
        "telephone": plan.acoustics.telephone,
        "snr": plan.acoustics.snr and round(plan.acoustics.snr, 1),
        "babble": plan.acoustics.babble,
        "room": round(plan.acoustics.room, 2),
    }
