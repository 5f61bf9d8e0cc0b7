"""The conformance kit of the macro contract: one stimulus for every body, and a verdict rule by rule."""
