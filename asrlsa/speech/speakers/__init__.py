"""Who speaks when, and who is who: diarization without torch.

``fbank`` and ``SpeakerEncoder`` turn speech into embeddings, ``SpeakerTracker`` collects them over a recording and
gives turns, ``assign_speakers`` puts the labels of the turns on words, and ``map_participants`` turns labels into
participants.
"""

from asrlsa.speech.speakers.diarization import Diarization
from asrlsa.speech.speakers.embedding import SpeakerEncoder
from asrlsa.speech.speakers.features import fbank
from asrlsa.speech.speakers.roles import guess_child, map_participants
from asrlsa.speech.speakers.tracker import SpeakerTracker
from asrlsa.speech.speakers.words import assign_speakers, channel_turns

__all__ = [
    "Diarization",
    "SpeakerEncoder",
    "SpeakerTracker",
    "assign_speakers",
    "channel_turns",
    "fbank",
    "guess_child",
    "map_participants",
]
