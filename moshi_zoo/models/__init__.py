"""The three models.

Shape letters, here and everywhere in the project:

B batch, K codebooks, T frames, S samples, C channels, D width, H heads, V vocabulary.
"""
