"""Fine-tuning Whisper; the only part of asrlsa that needs torch (the ``train`` extra)."""
