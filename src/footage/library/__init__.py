"""The library of clips: a database, and the files beside it. It knows no torch."""
