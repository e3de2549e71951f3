"""Language codes: Whisper writes ISO 639-1, CHAT wants ISO 639-3."""

from __future__ import annotations

from types import MappingProxyType

_TABLE = """
af afr am amh ar ara as asm az aze ba bak be bel bg bul bn ben bo bod br bre bs bos ca cat cs ces cy cym da dan
de deu el ell en eng es spa et est eu eus fa fas fi fin fo fao fr fra gl glg gu guj ha hau haw haw he heb hi hin
hr hrv ht hat hu hun hy hye id ind is isl it ita ja jpn jw jav ka kat kk kaz km khm kn kan ko kor la lat lb ltz
ln lin lo lao lt lit lv lav mg mlg mi mri mk mkd ml mal mn mon mr mar ms msa mt mlt my mya ne nep nl nld nn nno
no nor oc oci pa pan pl pol ps pus pt por ro ron ru rus sa san sd snd si sin sk slk sl slv sn sna so som sq sqi
sr srp su sun sv swe sw swa ta tam te tel tg tgk th tha tk tuk tl tgl tr tur tt tat uk ukr ur urd uz uzb vi vie
yi yid yo yor yue yue zh zho
"""

_PAIRS = _TABLE.split()

#: Every language of Whisper, in the code that Whisper writes, with its ISO 639-3 code.
WHISPER_LANGUAGES = MappingProxyType(dict(zip(_PAIRS[::2], _PAIRS[1::2], strict=True)))

_BACK = {three: two for two, three in WHISPER_LANGUAGES.items()} | {"jav": "jw", "cmn": "zh"}


def iso639_3(code: str) -> str:
    """Return the ISO 639-3 code of a language that is given as Whisper or CHAT writes it.

    Args:
        code: ``en`` or ``eng``, in either case.

    Raises:
        KeyError: Whisper does not know the language.
    """
    code = code.strip().lower()
    if code in _BACK:
        return code
    if code == "jv":
        return "jav"
    return WHISPER_LANGUAGES[code]


def whisper_code(code: str) -> str:
    """Return the code that Whisper writes for a language given as ``eng`` or ``en``.

    Raises:
        KeyError: Whisper does not know the language.
    """
    code = code.strip().lower()
    if code in WHISPER_LANGUAGES:
        return code
    return _BACK[iso639_3(code)]
