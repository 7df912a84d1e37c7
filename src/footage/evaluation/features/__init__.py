"""Frozen feature networks: what turns clips into the vectors that distances are taken of."""
