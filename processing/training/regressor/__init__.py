"""The learned fit: renders of the study's model, and what a network learns of them."""
