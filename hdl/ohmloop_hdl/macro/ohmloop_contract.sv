// Passive checker of the macro contract: watches the pins at every rising clock edge, changes nothing.
//
// Each breach prints one line "CONTRACT rule k: ..." with the rule numbers of macro/pins.py and counts in
// `violations`. The loop counts as open while neither close switch is high (auto-zero alone does not close it), and
// `feedback` and `bandwidth` may take their new value at the very edge that closes it.

// Two breaches at one edge must both count, and there is no reset pin:
// verilator lint_off BLKSEQ
// verilator lint_off PROCASSINIT

module ohmloop_contract #(
    parameter int N = 64,
    parameter int CELL_BITS = 4,
    parameter int DAC_BITS = 8,
    parameter int ADC_BITS = 8,
    parameter int ADCS = 8
) (
    input wire                                        clk,
    input wire [N-1:0]                                row,
    input wire                                        plane,
    input wire                                        write,
    input wire [N*CELL_BITS-1:0]                      write_data,
    input wire                                        read,
    input wire [N*CELL_BITS-1:0]                      sense,
    input wire [N*DAC_BITS-1:0]                       dac,
    input wire                                        autozero,
    input wire                                        close_solve,
    input wire                                        close_multiply,
    input wire [2:0]                                  drive_range,
    input wire [1:0]                                  feedback,
    input wire [1:0]                                  bandwidth,
    input wire                                        sample,
    input wire [(N == ADCS ? 1 : $clog2(N/ADCS))-1:0] mux,
    input wire [ADCS*ADC_BITS-1:0]                    trial,
    input wire [ADCS-1:0]                             above,
    input wire [N-1:0]                                clipped
);
    reg [31:0] violations /* verilator public_flat_rd */ = 32'd0;

    wire closed = close_solve | close_multiply;
    // Rule 1: after the first edge at which every pin is 0 or 1, all of them stay so. (Two-state simulators: always.)
    wire known = (^{row, plane, write, write_data, read, sense, dac, autozero, close_solve, close_multiply, drive_range,
                    feedback, bandwidth, sample, mux, trial, above, clipped}) !== 1'bx;

    reg armed = 1'b0;
    reg last_closed = 1'b0, last_sample = 1'b0;
    reg [1:0] last_mode = 2'b00;
    reg may_set = 1'b0;          // the last edge saw a fall of `sample`, so flags may appear
    reg may_clear = 1'b0;        // the last edge saw the loop open or change mode, so flags may go
    reg [1:0] last_feedback = 2'd0, last_bandwidth = 2'd0;
    reg [N-1:0] last_clipped = '0;

    task automatic breach(input int rule, input string text);
        begin
            $display("CONTRACT rule %0d: %s", rule, text);
            violations = violations + 32'd1;
        end
    endtask

    always @(posedge clk) begin
        if (known) armed <= 1'b1;
        if (armed && !known) breach(1, "a pin is neither 0 nor 1");
        if (known) begin
            if ((row & (row - {{(N-1){1'b0}}, 1'b1})) != '0) breach(2, "row is not one-hot or zero");
            if (write && read) breach(2, "write and read are both high");
            if ((write || read) && row == '0) breach(2, "write or read without a word line");
            if ((write || read) && closed) breach(2, "write or read while the loop is closed");
            if ((autozero && closed) || (close_solve && close_multiply)) breach(3, "more than one switch is high");
            if (closed && last_closed && feedback != last_feedback) breach(4, "feedback changed while closed");
            if (closed && last_closed && bandwidth != last_bandwidth) breach(4, "bandwidth changed while closed");
            if (armed && clipped != last_clipped && !(last_clipped == '0 && may_set) && !(clipped == '0 && may_clear))
                breach(5, "clipped changed without a fall of sample, or before the loop opened");
            last_closed <= closed;
            last_sample <= sample;
            last_mode <= {close_multiply, close_solve};
            last_feedback <= feedback;
            last_bandwidth <= bandwidth;
            last_clipped <= clipped;
            may_set <= last_sample && !sample && closed;
            may_clear <= !closed || {close_multiply, close_solve} != last_mode;
        end
    end
endmodule
