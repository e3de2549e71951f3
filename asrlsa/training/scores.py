"""What a model writes on the dev recordings, scored as ``asrlsa evaluate`` scores: by generation, never by loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from asrlsa.disfluency import code_utterance
from asrlsa.language import iso639_3, spell_out, split_mark
from asrlsa.manifest import Row
from asrlsa.scoring.align import align
from asrlsa.scoring.events import score_events
from asrlsa.scoring.metrics import METRICS, Sums, add_up, count_sums, event_sums, figures
from asrlsa.scoring.normalise import POLICIES
from asrlsa.scoring.samples import Sample
from asrlsa.scoring.sources import from_transcript
from asrlsa.scoring.statistics import RESAMPLES, intervals
from asrlsa.scoring.words import score_words
from asrlsa.training.loss import IGNORED
from asrlsa.types import Header, Transcript, Utterance, Word

HEADLINE = ("wer", "fluent_wer", "cer", "disfluency_f1", "disfluency_precision", "disfluency_recall")
_POLICIES = ("verbatim", "fluent", "cer", "batchalign", "raw")
_TOKENS_A_SECOND = 12.0  # as asrlsa transcribe decodes: a loop stops there
_TOKENS_MORE = 16
_SPEAKER = "PAR"


@dataclass(frozen=True, slots=True)
class DevScores:
    """Scores on the dev recordings.

    Attributes:
        scores: Figures by the names of ``asrlsa evaluate``; percentages; None where they can't be computed.
        intervals: 95 % bootstrap intervals by group of recordings that share no speaker; None with fewer than two.
        loss: Cross entropy of the dev texts in nats a token.
        windows: Windows that were decoded.
        groups: Groups that the intervals stand on.
        truncated: Windows whose text ran to its longest without an end.
    """

    scores: Mapping[str, float | None]
    intervals: Mapping[str, tuple[float, float] | None]
    loss: float
    windows: int
    groups: int
    truncated: int


@dataclass(frozen=True, slots=True)
class Written:
    """What the model wrote for one window, beside what was said there.

    Attributes:
        group: Speaker or recording.
        order: Place of the window.
        said: The utterances of the window, as the manifest has them.
        text: What the model wrote.
        language: ISO 639-1 code.
        truncated: The text ran to its longest without an end.
    """

    group: str
    order: int
    said: tuple[str, ...]
    text: str
    language: str
    truncated: bool


def group_rows(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Put rows together whose recordings share a speaker; where that joins all, by recording.

    Rows of one group may be dependent, rows of two are not: so groups are what a bootstrap may draw.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def of_recording(row: Row) -> str:
        return f"recording {row.audio}"

    for row in rows:
        if row.speaker:
            parent[root(of_recording(row))] = root(f"speaker {row.speaker}")
    by_root: dict[str, list[Row]] = {}
    by_recording: dict[str, list[Row]] = {}
    for row in rows:
        by_root.setdefault(root(of_recording(row)), []).append(row)
        by_recording.setdefault(of_recording(row), []).append(row)
    return by_root if len(by_root) > 1 else by_recording


@torch.no_grad()
def greedy(
    model: Callable[..., Any],
    inputs: Mapping[str, Any],
    prompt: Tensor,
    limits: Sequence[int],
    *,
    eot: int,
    forbidden: Tensor,
    forbidden_first: Tensor,
    all_done: Callable[[bool], bool] = bool,
) -> tuple[list[list[int]], tuple[Tensor, ...]]:
    """Decode a batch greedily with a cache of keys and values.

    Args:
        model: What to call; it takes what Whisper's forward takes.
        inputs: ``input_features`` (B, mels, T), or ``encoder_outputs``.
        prompt: Tokens in front (B, P), the same number for each window.
        limits: Most tokens to write for each window.
        eot: Token that ends a text.
        forbidden: Token ids that are never written (N,).
        forbidden_first: Token ids that are not written first (M,).
        all_done: Told whether this process has finished, says whether all have; sharded models run in step.

    Returns:
        The tokens written for each window, without ``eot`` (a list as long as its limit was cut off), and the
        encoder's output.
    """
    found: list[list[int]] = [[] for _ in limits]
    active = [limit > 0 for limit in limits]
    out = model(**inputs, decoder_input_ids=prompt, use_cache=True)
    encoded: tuple[Tensor, ...] = inputs.get("encoder_outputs") or (out.encoder_last_hidden_state,)
    first = True
    while True:
        logits = out.logits[:, -1].float()
        logits[:, forbidden] = -torch.inf
        if first and len(forbidden_first):
            logits[:, forbidden_first] = -torch.inf
        chosen = logits.argmax(-1)
        for k, token in enumerate(chosen.tolist()):
            if not active[k]:
                continue
            if token == eot:
                active[k] = False
            else:
                found[k].append(token)
                active[k] = len(found[k]) < limits[k]
        if all_done(not any(active)):
            return found, encoded
        first = False
        out = model(
            encoder_outputs=encoded,
            decoder_input_ids=chosen[:, None],
            past_key_values=out.past_key_values,
            use_cache=True,
        )


def longest_text(seconds: float, prompt: int, positions: int) -> int:
    """Return how many tokens a window may get: as `asrlsa transcribe` has it, within the decoder's positions."""
    return max(0, min(int(seconds * _TOKENS_A_SECOND) + _TOKENS_MORE, positions - prompt))


def prompt_length(labels: Sequence[int]) -> int:
    """Return how many tokens of a target stand before the first that is learnt."""
    return next((k + 1 for k, label in enumerate(labels) if label != IGNORED), len(labels))


def score(written: Sequence[Written], *, resamples: int = RESAMPLES, seed: int = 0) -> tuple[DevScores, list[Sums]]:
    """Score what was written; the same coder codes both sides, and the model's words are cut where utterances end.

    Args:
        written: All windows.
        resamples: Bootstrap draws; 0 for no intervals.
        seed: Seed of the draws.

    Returns:
        The scores (``loss`` is NaN, as it can't be known here), and the sums of each group.
    """
    groups: dict[str, list[Written]] = {}
    for window in sorted(written, key=lambda w: (w.group, w.order)):
        groups.setdefault(window.group, []).append(window)
    sums = []
    for name, windows in groups.items():
        sides = list(zip(*(_coded(w) for w in windows), strict=True))
        said, heard = ([u for part in side for u in part] for side in sides)
        language = iso639_3(windows[0].language) or "eng"
        pair = [from_transcript(_transcript(side, language), name) for side in (said, heard)]
        sums.append(_sums(*pair))
    bounds = intervals(sums, list(METRICS), resamples=resamples, seed=seed) if resamples and sums else {}
    return (
        DevScores(
            scores=figures(add_up(sums)),
            intervals=bounds,
            loss=float("nan"),
            windows=len(written),
            groups=len(groups),
            truncated=sum(w.truncated for w in written),
        ),
        sums,
    )


def _sums(reference: Sample, hypothesis: Sample) -> Sums:
    """Score words and events as `asrlsa.scoring.scores.score_pair` does; speakers, times and measures are left out."""
    verbatim = score_words(reference, hypothesis, POLICIES["verbatim"])
    sums: Sums = count_sums("verbatim", verbatim.counts)
    for name in _POLICIES[1:]:
        sums |= count_sums(name, score_words(reference, hypothesis, POLICIES[name], verbatim).counts)
    events = score_events(reference, hypothesis, verbatim.words, verbatim.ops)
    for kind, found in [*events.kinds.items(), ("relaxed", events.relaxed)]:
        sums |= event_sums(kind, found)
    return sums


def _coded(window: Written) -> tuple[list[Utterance], list[Utterance]]:
    """Code what was said and what was written, utterance by utterance."""
    language = iso639_3(window.language) or "eng"
    said = [_words(text, language) for text in window.said]
    heard = _words(window.text, language)
    parts = list(_cut(said, heard))
    return [_utterance(words, language) for words in said if words], [_utterance(w, language) for w in parts if w]


def _words(text: str, language: str) -> list[Word]:
    return spell_out([Word(word) for word in text.split()], language)


def _cut(said: Sequence[Sequence[Word]], heard: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Cut the words that were written where the utterances that were said end, by aligning the words."""
    ours = [_bare(word) for words in said for word in words]
    theirs = [_bare(word) for word in heard]
    at = [0] * (len(ours) + 1)
    for _, i1, i2, j1, j2 in align(ours, theirs) if ours and theirs else ():
        for i in range(i1, i2 + 1):
            at[i] = min(j1 + (i - i1), j2) if i < i2 else j2
    begin = here = 0
    for words in said:
        here += len(words)
        end = len(heard) if here == len(ours) else at[here]
        yield heard[begin:end]
        begin = end
    yield heard[begin:]


def _bare(word: Word) -> str:
    return split_mark(word.text)[0].lower()


def _utterance(words: Sequence[Word], language: str) -> Utterance:
    return Utterance(_SPEAKER, code_utterance(words, ".", language=language).text)


def _transcript(utterances: Sequence[Utterance], language: str) -> Transcript:
    return Transcript(
        (
            Header("Languages", language),
            Header("Participants", f"{_SPEAKER} Participant"),
            Header("ID", f"{language}|asrlsa|{_SPEAKER}|||||Participant|||"),
            *utterances,
        )
    )
