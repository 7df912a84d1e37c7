"""Networks that turn a picture or a clip into another."""
