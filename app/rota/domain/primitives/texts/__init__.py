"""Texts: words of English, names, sealed texts, URLs."""
