"""What a decoder of heads learns from: more heads than a study has, their photographs, features of these."""
