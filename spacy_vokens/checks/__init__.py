"""What `spacy vokens debug-data` checks of a corpus before training."""
