"""What an utterance means, as a line to read: the main tier without its disfluencies.

``<the wind> [/] &-um the wind took it .`` becomes ``the wind took it .``
"""

from __future__ import annotations

from asrlsa.disfluency.reading import read_main_tier


def fluent_text(text: str) -> str:
    """Return the words of a main tier that were meant, with its masks (``xxx``) and its terminator.

    Fillers, fragments, nonwords, pauses and what a retrace code takes back are left out; shortenings and replacements
    are completed (``gonna [: going to]`` is ``going to``). Empty where no word is left.
    """
    reading = read_main_tier(text)
    if not any(word.clean for word in reading.words):
        return ""
    masks = list(reversed(reading.masks))
    found: list[str] = []
    for number, word in enumerate(reading.words):
        while masks and masks[-1].start <= number:
            found.append(masks.pop().kind)
        if word.clean:
            found.append(word.clean)
    found += [mask.kind for mask in reversed(masks)]
    once = [word for n, word in enumerate(found) if word != "xxx" or found[n - 1 : n] != ["xxx"]]
    return " ".join([*once, reading.terminator]).rstrip()
