"""Convlstm."""
