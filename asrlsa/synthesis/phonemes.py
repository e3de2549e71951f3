"""From the pieces of an utterance to stretches of phonemes that a voice says in one go."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asrlsa.synthesis.languages import SpokenLanguage
from asrlsa.synthesis.spoken import Piece, Spoken

__all__ = ["Stretch", "fragment_phonemes", "stretches"]

Phonemise = Callable[[str, str], str]  # text and language of eSpeak to IPA

_VOWELS = frozenset("aeiouæɑɒɔəɛɜɐɪʊʌɚᵻœøyɨʉ")
_MARKS = str.maketrans("", "", "ˈˌ")
_SCHWA = 0.7  # probability that a fragment of consonants alone ends in a schwa


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a voice says in one go.

    Attributes:
        phonemes: IPA with punctuation.
        pause: Silence after it in ms.
        held: s by which its first sound is held; 0 leaves it.
        drawn: s by which its last sound is drawn out.
        block: s of silence before a tense onset.
        filler: Length in s of a filler that stands alone; 0 where there is none.
        broken: It ends in a fragment, and is broken off hard.
        cut_off: s after which the voice is cut off; 0 lets it finish. What it says begins with the word cut off.
    """

    phonemes: str
    pause: int
    held: float = 0.0
    drawn: float = 0.0
    block: float = 0.0
    filler: float = 0.0
    broken: bool = False
    cut_off: float = 0.0


def stretches(
    spoken: Spoken, language: SpokenLanguage, accent: str, phonemise: Phonemise, chance: random.Random
) -> list[Stretch]:
    """Divide an utterance where the voice begins anew, and write each part in phonemes."""
    found: list[Stretch] = []
    part: list[Piece] = []
    for i, piece in enumerate(spoken.pieces):
        part.append(piece)
        last = i + 1 == len(spoken.pieces)
        if len(part) == 1 and piece.kind == "fragment" and piece.seconds and piece.cut:
            # Cut out of the word as it is said in a sentence, which no voice says in phonemes as well.
            after = [p.text for p in spoken.pieces[i + 1 : i + 4] if p.kind == "word" and not p.text.endswith("@l")]
            words = after if after[:1] == [piece.target] else [piece.target, *after]
            found.append(Stretch(phonemise(" ".join(words), accent).strip(), piece.pause, cut_off=piece.seconds))
            part = []
        elif piece.cut or last:
            found.append(_stretch(part, spoken.terminator if last else "", language, accent, phonemise, chance))
            part = []
    return found


def _stretch(
    part: Sequence[Piece],
    terminator: str,
    language: SpokenLanguage,
    accent: str,
    phonemise: Phonemise,
    chance: random.Random,
) -> Stretch:
    first, last = part[0], part[-1]
    written: list[str] = []
    words: list[str] = []

    def flush() -> None:
        if words:
            written.append(phonemise(" ".join(words), accent).strip())
            words.clear()

    for piece in part:
        mark = "," if piece.comma or piece.rest else ""
        if piece.kind == "word" and not piece.text.endswith("@l"):
            words.append(piece.text + mark)
            continue
        flush()
        if piece.kind == "word":
            written.append(_letter(piece.text[:-2], language, accent, phonemise) + mark)
        elif piece.kind == "filler":
            filler = next(f for f in language.fillers if f.text == piece.text)
            written.append(chance.choice(filler.phonemes) + (mark or ("," if chance.random() < 0.3 else "")))
        else:
            written.append(_fragment(piece, accent, phonemise, chance) + mark)
    flush()
    text = " ".join(written).rstrip(",. ")
    alone = len(part) == 1
    mark = terminator or ("" if last.kind == "fragment" else ",")  # without a comma the last word is said unclearly
    return Stretch(
        phonemes=text + mark,
        pause=last.pause,
        held=first.seconds if first.effect == "held" else 0.0,
        drawn=last.seconds if last.effect == "drawn" else 0.0,
        block=first.seconds if first.effect == "block" else 0.0,
        filler=last.seconds if alone and last.kind == "filler" else 0.0,
        broken=last.kind == "fragment",
    )


def _letter(letter: str, language: SpokenLanguage, accent: str, phonemise: Phonemise) -> str:
    return language.letters.get(letter) or phonemise(letter, accent).strip()


def _fragment(piece: Piece, accent: str, phonemise: Phonemise, chance: random.Random) -> str:
    whole = phonemise(piece.target, accent).strip()
    consonant = [letter in "bcdfghjklmnpqrstvwxz" for letter in piece.text]
    closed = consonant[-1] and not all(consonant)
    return fragment_phonemes(whole, vowel=not all(consonant), closed=closed, schwa=chance.random() < _SCHWA)


def fragment_phonemes(whole: str, *, vowel: bool, schwa: bool, closed: bool = False) -> str:
    """Return the beginning of a word: its first consonants, with its first vowel or a schwa.

    Args:
        whole: The word in IPA.
        vowel: Take the first vowel too; a word that begins with a vowel gives that in any case.
        schwa: End consonants in a schwa; without it they are said as the voice can.
        closed: Take the sound after the vowel too.
    """
    sounds = whole.translate(_MARKS)
    onset = next((i for i, sound in enumerate(sounds) if sound in _VOWELS), len(sounds))
    if onset == 0 or vowel:
        end = onset + 1
        while end < len(sounds) and sounds[end] == "ː":
            end += 1
        return sounds[: end + closed]
    return sounds[:onset] + ("ə" if schwa else "")
