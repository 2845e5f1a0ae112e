"""Fuzzing: inputs with structure, mutated from kept seeds, to every parser that meets what others wrote."""
