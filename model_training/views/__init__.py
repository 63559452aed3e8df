"""What the networks are shown of the texts: batches, typos, dropped n-grams, neural bits."""
