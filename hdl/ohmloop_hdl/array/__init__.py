"""Code memory and the controller that programs both resistor arrays."""
