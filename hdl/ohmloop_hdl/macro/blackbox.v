// Analogue macro as a black box for synthesis: pins and parameters of ohmloop_macro.sv, nothing inside.
// A layout flow replaces it by the macro's timing and area views. Contract: macro/pins.py.

// Nothing is inside, so nothing is used or driven, and the file is named for what it is:
// verilator lint_off DECLFILENAME
// verilator lint_off UNUSEDPARAM
// verilator lint_off UNUSEDSIGNAL
// verilator lint_off UNDRIVEN

(* blackbox, keep_hierarchy *)
module ohmloop_macro #(
    parameter N = 64,
    parameter CELL_BITS = 4,
    parameter DAC_BITS = 8,
    parameter ADC_BITS = 8,
    parameter ADCS = 8,
    parameter FILE = ""
) (
    input  wire                                        clk,
    input  wire [N-1:0]                                row,
    input  wire                                        plane,
    input  wire                                        write,
    input  wire [N*CELL_BITS-1:0]                      write_data,
    input  wire                                        read,
    output wire [N*CELL_BITS-1:0]                      sense,
    input  wire [N*DAC_BITS-1:0]                       dac,
    input  wire                                        autozero,
    input  wire                                        close_solve,
    input  wire                                        close_multiply,
    input  wire [2:0]                                  drive_range,
    input  wire [1:0]                                  feedback,
    input  wire [1:0]                                  bandwidth,
    input  wire                                        sample,
    input  wire [(N == ADCS ? 1 : $clog2(N/ADCS))-1:0] mux,
    input  wire [ADCS*ADC_BITS-1:0]                    trial,
    output wire [ADCS-1:0]                             above,
    output wire [N-1:0]                                clipped
);
endmodule
