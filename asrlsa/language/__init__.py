"""What asrlsa knows about languages, and the spelling of a recogniser's words as CHAT wants them."""

from asrlsa.language.codes import WHISPER_LANGUAGES, iso639_3, whisper_code
from asrlsa.language.marks import FINAL_MARKS, MARKS, split_mark
from asrlsa.language.spelling import spell_out
from asrlsa.language.tables import Doubles, Grammar, LanguageTable, has_table, language_table

__all__ = [
    "FINAL_MARKS",
    "MARKS",
    "WHISPER_LANGUAGES",
    "Doubles",
    "Grammar",
    "LanguageTable",
    "has_table",
    "iso639_3",
    "language_table",
    "spell_out",
    "split_mark",
    "whisper_code",
]
