"""The loop as a circuit for ngspice: the reference that the other bodies are compared with."""
