"""Pages that need nothing else, and plots: one Jinja2 environment with its templates, one plotter."""
