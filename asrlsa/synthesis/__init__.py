"""Disfluent speech with known CHAT, made by offline voices: see docs/verbatim-corpus.md.

Sentences come from a language file, disfluencies from published rates, speech from Kokoro and Piper. Everything but
`asrlsa.synthesis.voices` runs without the ``synthesis`` extra.
"""
