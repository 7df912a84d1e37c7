"""Evaluation: what is compared with what, the figures of it, and everything that it takes to trust them."""
