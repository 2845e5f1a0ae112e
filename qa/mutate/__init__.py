"""Mutants: each takes one check, layer, bound or sync out of the product, and a test must notice."""
