// Clocks the macro inside the model, so that one call of the simulator carries out a whole task, and steps its pins.
//
// A change of `go` starts the task that `solving` tells. Low: the last cell is written anew and the loop closes and
// opens once, which is factors and tables. High: a loop that is known closes, settles for `settle` clocks, is sampled
// and converted, twice, and opens.

// The clock makes itself:
// verilator lint_off UNOPTFLAT
// The model has no reset, so power-up values stand in the declarations:
// verilator lint_off PROCASSINIT
// What starts and what is clocked by it are one process each:
// verilator lint_off MULTIDRIVEN

module macro_speed #(
    parameter int N = 64,
    parameter int CELL_BITS = 4,
    parameter int DAC_BITS = 8,
    parameter int ADC_BITS = 8,
    parameter int ADCS = 8
) (
    input  wire                   go,
    input  wire                   solving,
    input  wire [31:0]            settle,
    input  wire [1:0]             bandwidth,
    output reg  [31:0]            clocks,    // of all tasks so far
    output wire [N*CELL_BITS-1:0] sense,
    output wire [N-1:0]           clipped
);
    localparam int STEPS = N/ADCS;
    localparam [ADCS*ADC_BITS-1:0] LOWEST = {ADCS{1'b1, {(ADC_BITS - 1){1'b0}}}};
    localparam int MUX_BITS = N == ADCS ? 1 : $clog2(N/ADCS);

    typedef enum logic [2:0] {IDLE, WRITE, CLOSE, SETTLE, SAMPLE, HOLD, CONVERT, OPEN} state_e;

    reg [N*CELL_BITS-1:0] rows [0:2*N-1];    // cells, plane 0 first
    reg [N*DAC_BITS-1:0] drive;
    reg [N*ADC_BITS-1:0] codes = '0;         // of the last conversion
    reg clk = 1'b0;
    reg gone = 1'b0;
    state_e state = IDLE;
    reg [$clog2(N):0] line = '0;
    reg write = 1'b0;
    reg close = 1'b0;
    reg sample = 1'b0;
    reg again = 1'b0;
    reg [MUX_BITS-1:0] mux = '0;
    reg [$clog2(ADC_BITS)-1:0] place = '0;   // of the bit that is tried
    reg [31:0] left = 32'd0;
    reg [ADCS*ADC_BITS-1:0] kept = '0;       // codes as far as they are decided
    wire [ADCS*ADC_BITS-1:0] trial, decided;
    reg programmed = 1'b0;
    wire [ADCS-1:0] above;

    string file;
    initial begin
        if (!$value$plusargs("macro_speed=%s", file)) $fatal(1, "macro_speed: no +macro_speed=FILE");
        $readmemh(file, rows);
        for (int i = 0; i < N; i = i + 1)
            drive[i*DAC_BITS +: DAC_BITS] = DAC_BITS'(i % 2 == 0 ? 3 + i % 7 : -5 - i % 3);
        clocks = 32'd0;
    end
    final $display("%h", codes);

    wire busy = gone != go || state != IDLE;
    always @(clk or busy) if (busy) clk <= !clk;

    always @(posedge clk) begin
        clocks <= clocks + 32'd1;
        case (state)
            IDLE: begin
                gone <= go;
                line <= programmed ? $bits(line)'(2*N - 1) : '0;
                write <= !solving;
                again <= 1'b0;
                state <= solving ? CLOSE : WRITE;
            end
            WRITE: begin
                line <= line + 1'b1;
                if (int'(line) == 2*N - 1) begin
                    programmed <= 1'b1;
                    rows[2*N - 1][0] <= !rows[2*N - 1][0];
                    write <= 1'b0;
                    state <= CLOSE;
                end
            end
            CLOSE: begin
                close <= 1'b1;
                left <= settle;
                state <= solving ? SETTLE : OPEN;
            end
            SETTLE: begin
                left <= left - 32'd1;
                if (left <= 32'd1) begin
                    sample <= 1'b1;
                    state <= SAMPLE;
                end
            end
            SAMPLE: begin
                sample <= 1'b0;
                mux <= '0;
                place <= $bits(place)'(ADC_BITS - 1);
                kept <= LOWEST;
                state <= HOLD;
            end
            HOLD: state <= CONVERT;
            CONVERT: begin
                place <= place - 1'b1;
                kept <= decided;
                if (place == '0) begin
                    for (int a = 0; a < ADCS; a = a + 1)
                        codes[(a*STEPS + int'(mux))*ADC_BITS +: ADC_BITS] <= decided[a*ADC_BITS +: ADC_BITS];
                    place <= $bits(place)'(ADC_BITS - 1);
                    kept <= LOWEST;
                    mux <= mux + 1'b1;
                    if (int'(mux) == STEPS - 1) begin
                        again <= 1'b1;
                        left <= settle;
                        state <= again ? OPEN : SETTLE;
                    end
                end
            end
            default: begin
                close <= 1'b0;
                state <= close ? OPEN : IDLE;
            end
        endcase
    end

    for (genvar a = 0; a < ADCS; a = a + 1) begin : adc
        assign trial[a*ADC_BITS +: ADC_BITS] = kept[a*ADC_BITS +: ADC_BITS] + (ADC_BITS'(1) << place);
        assign decided[a*ADC_BITS +: ADC_BITS] = above[a] ? trial[a*ADC_BITS +: ADC_BITS]
            : kept[a*ADC_BITS +: ADC_BITS];
    end

    wire [N-1:0] row = write ? N'(1) << line[$clog2(N)-1:0] : '0;

    ohmloop_macro #(
        .N(N), .CELL_BITS(CELL_BITS), .DAC_BITS(DAC_BITS), .ADC_BITS(ADC_BITS), .ADCS(ADCS)
    ) macro (
        .clk(clk), .row(row), .plane(write && line[$clog2(N)]), .write(write), .write_data(rows[line]), .read(1'b0),
        .sense(sense), .dac(drive), .autozero(1'b0), .close_solve(close), .close_multiply(1'b0), .drive_range(3'd0),
        .feedback(2'd0), .bandwidth(bandwidth), .sample(sample), .mux(mux), .trial(trial), .above(above), .clipped(clipped)
    );
endmodule
