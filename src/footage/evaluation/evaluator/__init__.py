"""Feature networks of tier B: which clips they learn from, what they learn, and how they prove themselves."""
