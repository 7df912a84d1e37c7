"""Adversarial training: critics, losses, penalties, augmentation."""
