"""The word rules of Batchalign 2's benchmark, so that its published figures can be compared.

Written from a reading of Batchalign 0.8 (``pipelines/analysis/eval.py`` and its CHAT reader):

- Words: everything on the main tier but fragments and nonwords (``&+``, ``&~``), repeated sounds (``↫b-b↫``) and
  ``xxx yyy www``. Fillers and retraced words are in. A replacement ``[: target]`` stands for what it replaces.
- Hyphens are removed, case is ignored, fillers are one word ``um``, a table maps contracted forms, and a word with
  ``'s 've 'd 'm`` becomes the part before it and ``is have had am``.
- A shortening ``(be)cause`` matches with and without what is in brackets.
- The alignment is this package's, which has the fewest errors. Batchalign aligns with substitutions at the cost of a
  deletion and an insertion and pairs leftovers afterwards, which can count an error more in a heavily garbled stretch.
- The rate is errors over reference words before the table splits any.

Left out: gluing single letters of the hypothesis together (it scores a transcript against itself above zero), and the
lists of given names, compounds and abbreviations, which belong to Batchalign: a name is a word like any other here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from asrlsa.scoring.align import Counts, align, count
from asrlsa.scoring.samples import ScoredWord

_FILLERS = frozenset(["um", "uhm", "em", "mhm", "uhhm", "eh", "uh", "hm"])
_ENDINGS = (("'s", "is"), ("'ve", "have"), ("'d", "had"), ("'m", "am"))
_TABLE = {
    "ok": "okay", "gimme": "give me", "hafta": "have to", "havta": "have to", "dunno": "don't know",
    "wanna": "want to", "mba": "m b a", "tli": "t l i", "bbc": "b b c", "ii": "i i", "alright": "all right",
    "sorta": "sort of", "alrightie": "all right", "mm": "hm", "ai": "a i", "this'll": "this will",
    "gotta": "got to", "hadta": "had to", "kinda": "kind of", "ed": "education", "til": "until",
    "gonna": "going to", "shoulda": "should have", "sposta": "supposed to", "farmhouse": "farm house", "aa": "a a",
    "hmm": "hm",
}  # fmt: skip
_EDGES = re.compile(r"^[^\w'()]+|[^\w'()]+$")


def written(word: ScoredWord) -> str | None:
    """Return what the benchmark reads of a word, None where it counts none; a shortening keeps its brackets."""
    if word.kind in ("fragment", "nonword") or word.clean == "":
        return None
    text = word.verbatim if word.clean is None else word.clean
    if "(" in word.raw and ")" in word.raw and " " not in text:
        return re.sub(r"[^\w'()]", "", word.raw)
    return text


def conform(text: str) -> tuple[str, ...]:
    """Turn one word into what the benchmark compares."""
    made: list[str] = []
    for piece in text.replace("_", " ").split():
        form = _EDGES.sub("", piece.replace("-", "")).lower().replace("’", "'")
        if not form:
            continue
        ending = next(((mark, full) for mark, full in _ENDINGS if mark in form), None)
        if ending:
            made += [form.split("'")[0], ending[1]]
        elif form in _FILLERS:
            made.append("um")
        else:
            made += _TABLE.get(form, form).split()
    return tuple(made)


def score(reference: Sequence[str], hypothesis: Sequence[str], words: int) -> Counts:
    """Count errors as the benchmark does.

    Args:
        reference: Conformed reference words.
        hypothesis: Conformed hypothesis words.
        words: Number of reference words before the table split any.

    Returns:
        Counts whose ``reference`` is ``words``; what the splitting adds or takes is put on the hits.
    """
    made = count(align(_unbracketed(reference, hypothesis), _unbracketed(hypothesis, reference)))
    return made._replace(hits=words - made.substitutions - made.deletions)


def _unbracketed(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """Write ``(be)cause`` as the other side has it; in full where it has neither."""
    if not any("(" in word for word in words):
        return list(words)
    vocabulary = {re.sub(r"[()]", "", other) for other in others}
    made = []
    for word in words:
        full, short = re.sub(r"[()]", "", word), re.sub(r"\(.*\)", "", word)
        made.append(short if short in vocabulary and full not in vocabulary else full)
    return made
