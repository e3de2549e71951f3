"""A trusted transcript and its recording: which words were said where, and what the transcript leaves out."""
