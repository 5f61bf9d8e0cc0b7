"""From a system and a tolerance to an answer with a certificate: iterations in float64 around analogue solves."""
