"""Scores of transcripts against references: words, disfluencies, speakers, times, and language-sample measures."""
