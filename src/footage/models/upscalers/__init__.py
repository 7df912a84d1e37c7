"""Networks that make clips larger."""
