"""Corpora in their many layouts, read as utterances with times, judged, split and written as training data."""
