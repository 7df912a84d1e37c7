"""The flagship generator: frames as a function of content and of stationary noise in time."""
