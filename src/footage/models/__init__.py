"""Models: architectures, the methods that train them, and what they share."""
