"""The web app that `spacy vokens serve` starts."""
