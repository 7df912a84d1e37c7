"""Networks that make clips from noise, and their samplers."""
