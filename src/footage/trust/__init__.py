"""Whether what footage made can be proved: signed provenance (C2PA) and the key that signs it. No torch."""
