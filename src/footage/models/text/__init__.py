"""Words: captions as numbers, and models that are told by them what to show."""
