"""Conv3d."""
