"""The page about an evaluation: figures, plots, looping samples, nearest neighbours, protocol; one file, no network.

`content` is what it is about (report.json), `document` lays it out (report.html).
"""
