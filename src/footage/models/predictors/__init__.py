"""Networks that continue clips."""
