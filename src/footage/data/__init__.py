"""Datasets: made from files by `ingest`, or on the fly by `synthetic`; read back by `store` and `clips`."""
