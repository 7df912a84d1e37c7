"""Pages that need nothing else, and the plots on them."""
