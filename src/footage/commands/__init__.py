"""The command line, a file for each group of verbs; in Python the same verbs are `footage.train` and so on."""
