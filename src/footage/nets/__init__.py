"""Networks only, one architecture a file."""
