"""The training loop and what belongs to a run. It cannot tell a GAN from a VAE."""
