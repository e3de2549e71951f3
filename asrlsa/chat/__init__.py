"""CHAT text to values and back: lexer, parser, writer, builder and check."""
