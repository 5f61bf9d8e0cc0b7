"""The generated Verilog and the real-number macro as a library of this process: no interpreter in the clock loop."""
