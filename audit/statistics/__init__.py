"""Pure functions of arrays, one module per question. Imports nothing but numpy and scipy."""
