"""What machines lend: this one processors and memory, others their work (Ray) and their files (fsspec). No torch."""
