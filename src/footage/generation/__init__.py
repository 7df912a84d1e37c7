"""A loaded model, and all that it can do."""
