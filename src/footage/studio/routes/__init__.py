"""Routes of the studio, a file for each group of addresses."""
