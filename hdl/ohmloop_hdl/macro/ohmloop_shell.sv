// Analogue macro, empty shell: whoever holds the simulator drives its outputs from outside.
//
// For bodies that are not SystemVerilog. `inputs` is every pin towards the macro in one vector, in the order of
// MacroInputs of sim/ohmloop/analog/body.py with `row` lowest; `edges` counts rising clock edges. So a body sleeps while
// nothing but the clock moves, and knows afterwards how many edges have passed. It acts at falling edges.

// The contract has no reset pin, so power-up values stand in the declarations:
// verilator lint_off PROCASSINIT
// The module has the name of what it stands in for, not of this file:
// verilator lint_off DECLFILENAME

module ohmloop_macro #(
    parameter int N = 64,
    parameter int CELL_BITS = 4,
    parameter int DAC_BITS = 8,
    parameter int ADC_BITS = 8,
    parameter int ADCS = 8
) (
    input  wire                                            clk,
    input  wire [N-1:0]                                    row,
    input  wire                                            plane,
    input  wire                                            write,
    input  wire [N*CELL_BITS-1:0]                          write_data,
    input  wire                                            read,
    output reg  [N*CELL_BITS-1:0]                          sense,
    input  wire [N*DAC_BITS-1:0]                           dac,
    input  wire                                            autozero,
    input  wire                                            close_solve,
    input  wire                                            close_multiply,
    input  wire [2:0]                                      drive_range,
    input  wire [1:0]                                      feedback,
    input  wire [1:0]                                      bandwidth,
    input  wire                                            sample,
    input  wire [(N == ADCS ? 1 : $clog2(N/ADCS))-1:0]     mux,
    input  wire [ADCS*ADC_BITS-1:0]                        trial,
    output reg  [ADCS-1:0]                                 above,
    output reg  [N-1:0]                                    clipped
);
    localparam int MUX_BITS = (N == ADCS ? 1 : $clog2(N/ADCS));
    localparam int WIDTH = N + 3 + N*CELL_BITS + N*DAC_BITS + 3 + 3 + 2 + 2 + 1 + MUX_BITS + ADCS*ADC_BITS;

    wire [WIDTH-1:0] inputs = {trial, mux, sample, bandwidth, feedback, drive_range, close_multiply, close_solve,
                               autozero, dac, read, write_data, write, plane, row};
    reg [31:0] edges = 32'd0;

    initial begin
        sense = '0;
        above = '0;
        clipped = '0;
    end

    always @(posedge clk) edges <= edges + 32'd1;

    ohmloop_contract #(
        .N(N), .CELL_BITS(CELL_BITS), .DAC_BITS(DAC_BITS), .ADC_BITS(ADC_BITS), .ADCS(ADCS)
    ) contract (
        .clk(clk), .row(row), .plane(plane), .write(write), .write_data(write_data), .read(read), .sense(sense),
        .dac(dac), .autozero(autozero), .close_solve(close_solve), .close_multiply(close_multiply),
        .drive_range(drive_range), .feedback(feedback), .bandwidth(bandwidth), .sample(sample), .mux(mux),
        .trial(trial), .above(above), .clipped(clipped)
    );
endmodule
