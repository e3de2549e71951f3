"""Match the voices that diarization found with the participants that the user named.

Voice pitch tells an adult from a young child well where the medians lie far apart and poorly where they do not, so
whatever is decided here comes with a sentence that says it is a guess and on what evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asrlsa.speech.speakers.diarization import Diarization
from asrlsa.types import Participant

CHILD_ROLES = frozenset({"Target_Child", "Child", "Sibling", "Brother", "Sister", "Playmate", "Boy", "Girl"})
CLEAR_HZ = 60.0  # medians further apart than this decide alone
CHILD_ABOVE_HZ = 220.0  # one voice alone: children of 3 to 9 speak at 230 to 300 Hz, women at 165 to 220 Hz
SECOND_BONUS = 0.5  # weight of "did not speak first" against a pitch difference of CLEAR_HZ


def is_child(participant: Participant) -> bool:
    """Tell whether the CHAT role names a child."""
    return participant.role in CHILD_ROLES


def guess_child(diarization: Diarization, participants: Sequence[Participant]) -> tuple[dict[str, str], str] | None:
    """Guess which voice is the child's, where exactly one participant is a child and at least one is not.

    With two voices or more the child is the highest voice where its median pitch lies more than 60 Hz above every
    other. Otherwise pitch is weighed with the turn pattern: a recorded session is mostly opened by the adult, so the
    voice that speaks first is less likely the child's. The other voices get the adults in order of appearance. One
    voice alone is the child's if its median pitch is above 220 Hz or unknown, else the first adult's.

    Args:
        diarization: What :meth:`SpeakerTracker.finish` returned.
        participants: In the order the user gave them.

    Returns:
        Label to participant code, for as many labels as there are participants, and a sentence for a ``@Comment``; or
        None where the question does not arise (no child, several children, no adult, no speech).
    """
    children = [p for p in participants if is_child(p)]
    adults = [p for p in participants if not is_child(p)]
    labels = diarization.labels
    if len(children) != 1 or not adults or not labels:
        return None
    code = children[0].code
    if len(labels) == 1:
        return _only_voice(labels[0], diarization.pitch, code, adults[0].code)
    label, evidence = _child_voice(labels, diarization.pitch)
    mapping = {label: code}
    mapping.update(zip((other for other in labels if other != label), (p.code for p in adults), strict=False))
    return mapping, f"Speakers told apart by voice; {code} was guessed to be {evidence}; check roles"


def _only_voice(label: str, pitch: Mapping[str, float], child: str, adult: str) -> tuple[dict[str, str], str]:
    if label not in pitch:
        return {label: child}, f"One voice found, taken for {child} without evidence from pitch; check roles"
    code = child if pitch[label] > CHILD_ABOVE_HZ else adult
    return {
        label: code
    }, f"One voice found, guessed to be {code} by its median pitch of {pitch[label]:.0f} Hz; check roles"


def _child_voice(labels: Sequence[str], pitch: Mapping[str, float]) -> tuple[str, str]:
    """Return the label that is most likely the child's and the evidence in words; two labels or more."""
    ranked = sorted((label for label in labels if label in pitch), key=lambda label: -pitch[label])
    if len(ranked) < 2:
        chosen = ranked[0] if ranked and pitch[ranked[0]] > CHILD_ABOVE_HZ else labels[1]
        return chosen, "one voice by weak evidence (pitch could not be measured for both)"
    high, next_high = ranked[0], ranked[1]
    known = f"median pitch {pitch[high]:.0f} Hz against {pitch[next_high]:.0f} Hz"
    if pitch[high] - pitch[next_high] > CLEAR_HZ:
        return high, f"the higher voice ({known})"
    score = {
        label: (pitch[label] - pitch[next_high]) / CLEAR_HZ + (SECOND_BONUS if label != labels[0] else 0.0)
        for label in ranked
    }
    chosen = max(ranked, key=lambda label: score[label])
    if chosen == high:
        return chosen, f"the higher voice, by weak evidence ({known}, and who speaks first)"
    return chosen, f"the voice that does not speak first, by weak evidence ({known} is too close to decide)"


def map_participants(
    diarization: Diarization, participants: Sequence[Participant]
) -> tuple[dict[str, Participant], str | None]:
    """Give every voice a participant.

    Without participants the voices are ``PAR0``, ``PAR1``, … with the role ``Participant``. With exactly one child and
    adults, :func:`guess_child` decides; otherwise participants are given out in order of first appearance. Voices
    beyond the participants get free ``PARn`` codes.

    Args:
        diarization: What :meth:`SpeakerTracker.finish` returned.
        participants: In the order the user gave them; may be empty.

    Returns:
        Label to participant, for every label of the turns, and a sentence for a ``@Comment``, or None where nothing was
        guessed (no participants named, or one participant and one voice).
    """
    labels = diarization.labels
    if not participants:
        return {label: Participant(f"PAR{i}") for i, label in enumerate(labels)}, None
    by_code = {p.code: p for p in participants}
    guess = guess_child(diarization, participants)
    comment: str | None = None
    if guess is not None:
        mapping, comment = {label: by_code[code] for label, code in guess[0].items()}, guess[1]
    else:
        mapping = dict(zip(labels, participants, strict=False))
        if labels and (len(labels) > 1 or len(participants) > 1):
            order = ", ".join(p.code for p in mapping.values())
            comment = f"Speakers told apart by voice; codes given in order of first appearance ({order}); check roles"
    free = (f"PAR{i}" for i in range(len(labels) + len(participants)) if f"PAR{i}" not in by_code)
    for label in labels:
        if label not in mapping:
            mapping[label] = Participant(next(free))
    return {label: mapping[label] for label in labels}, comment
