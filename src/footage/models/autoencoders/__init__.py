"""Networks that code clips and decode them again."""
