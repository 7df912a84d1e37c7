"""Simvp."""
