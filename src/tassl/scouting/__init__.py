"""Small pilots on the user's own images, before the budget of a full pretraining is spent."""
