"""The page about an evaluation: figures, plots, looping samples, nearest neighbours, protocol; one file, no network."""
