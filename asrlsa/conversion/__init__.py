"""Whisper's weights between CTranslate2 and transformers, and adapters merged into them, with numpy alone."""
