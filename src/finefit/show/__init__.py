"""Nouns to terminal text, Markdown and JSON. No arithmetic."""
