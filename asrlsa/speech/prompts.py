"""Short texts full of disfluencies: put in front of a window they make stock Whisper write what it hears.

The English one took stock base and tiny.en from 0 to 13 of 14 real fillers (docs/log.md has our own figures). The
others follow the same plan in their language and have not been measured on recordings.
"""

from __future__ import annotations

_PROMPTS = {
    "en": "Um, uh, so, like, I was, uh, I was gonna, um, I- I w- went to the, the store and, uh, you know, mm, yeah.",
    "es": "Eh, este, pues, o sea, yo, eh, yo iba, em, y- yo f- fui a la, la tienda y, eh, bueno, mm, sí.",
    "fr": "Euh, ben, alors, je, euh, je voulais, hum, j- j'ai é- été à la, la boutique et, euh, tu sais, mm, ouais.",
    "de": "Ähm, äh, also, ich war, äh, ich wollte, ähm, i- ich g- ging in den, den Laden und, äh, weißt du, hm, ja.",
}


def style_prompt(language: str) -> str | None:
    """Return the filler-rich prompt for an ISO 639-1 code, or None where there is none yet."""
    return _PROMPTS.get(language)
