"""Networks that judge clips."""
