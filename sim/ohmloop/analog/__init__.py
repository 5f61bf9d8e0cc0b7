"""The analogue half in numpy: parameters, loop equations, converters, the numpy macro."""
