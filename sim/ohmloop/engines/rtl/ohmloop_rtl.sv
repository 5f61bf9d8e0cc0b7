// The generated chip with a clock, a bus master and stream ends of its own, for a library that runs it at full speed.
//
// The clock is a loop inside the model: each change of it brings the next, so that one evaluation runs up to SLICE
// clocks and its overhead is paid once. A new `token` starts an operation; a change of `go` runs the clock until the
// operation is done or the slice is over, and stops it low. Clocks in which a loop merely settles are taken in strides:
// see "waits" below.
//
//   operation   0 hold reset for `limit` clocks             1 write `count` words of `buffer` to byte address `from` on
//               2 read as many into `buffer`                3 wait for the interrupt, at most `limit` clocks
//               4 wait until `count` objects have come out of the output stream, at most `limit` clocks
//               5 connect the streams, drawing pauses from `seed`

// There is no reset above the chip's own, and power-up values stand in the declarations:
// verilator lint_off PROCASSINIT
// A stride moves on a counter of the macro that one process alone uses:
// verilator lint_off BLKSEQ

module ohmloop_rtl #(
    parameter int WORDS = 4096,          // of `buffer`: the longest write or read
    parameter int BEATS = 65536,         // that may wait in each stream, a power of two
    parameter int SLICE = 400000         // clocks of an evaluation
) (
    input  wire        go,
    input  wire [31:0] token,
    input  wire [2:0]  operation,
    input  wire [23:0] from,
    input  wire [31:0] count,
    input  wire [31:0] limit,
    input  wire [31:0] source_pause,     // probability of a pause in a clock, times 2^32
    input  wire [31:0] sink_pause,
    input  wire [31:0] seed,
    input  wire [31:0] source_end,       // beats put into `source` so far, by the caller
    input  wire [31:0] sink_begin,       // beats taken out of `sink` so far, by the caller
    output wire        busy,
    output reg         failed,           // an error response, or more clocks than `limit`
    output reg  [31:0] words_done,         // words done
    output reg  [31:0] source_begin,
    output reg  [31:0] sink_end,
    output reg  [31:0] objects,          // that came out of the output stream so far
    output reg  [63:0] clocks,           // so far
    output reg  [63:0] leapt             // of them in strides
);
    localparam int BEAT_BITS = $clog2(BEATS);

    reg [31:0] buffer [0:WORDS-1] /* verilator public_flat_rw */;
    reg [32:0] source [0:BEATS-1] /* verilator public_flat_rw */;
    reg [32:0] sink [0:BEATS-1] /* verilator public_flat_rd */;

    // ------------------------------------------------------------------------------------------ the clock

    reg clk = 1'b0, last_go = 1'b0, working = 1'b0;
    reg [31:0] left = 32'd0, seen = 32'd0;
    reg leap = 1'b0, landed = 1'b0;      // they differ while a stride is taken

    assign busy = working | (token != seen);

    always @(go or clk or landed)
        if (go != last_go) begin
            last_go <= go;
            left <= SLICE - 1;
            clk <= 1'b1;
        end else if (clk)
            clk <= 1'b0;
        else if (left != 32'd0 && busy) begin
            if (stride >= SHORTEST) leap <= !leap;
            else begin
                left <= left - 32'd1;
                clk <= 1'b1;
            end
        end

    // ------------------------------------------------------------------------------------------ the chip

    reg rst = 1'b0, valid = 1'b0, connected = 1'b0, source_valid = 1'b0, sink_ready = 1'b0;
    wire [3:0] phase;
    wire interrupt, awready, bvalid, arready, rvalid, source_ready, sink_valid, sink_last;
    wire [1:0] bresp, rresp;
    wire [31:0] rdata, sink_data;
    wire [23:0] place = from + {words_done[21:0], 2'b00};
    wire [32:0] beat = source[source_begin[BEAT_BITS-1:0]];
    wire writing = operation == 3'd1, reading = operation == 3'd2;

    ohmloop chip (
        .clk, .rst, .interrupt,
        .s_axil_awaddr(place), .s_axil_awprot(3'd0), .s_axil_awvalid(valid && writing), .s_axil_awready(awready),
        .s_axil_wdata(buffer[words_done[$clog2(WORDS)-1:0]]), .s_axil_wstrb(4'hF), .s_axil_wvalid(valid && writing),
        /* verilator lint_off PINCONNECTEMPTY */
        .s_axil_wready(),
        .s_axil_bresp(bresp), .s_axil_bvalid(bvalid), .s_axil_bready(1'b1),
        .s_axil_araddr(place), .s_axil_arprot(3'd0), .s_axil_arvalid(valid && reading), .s_axil_arready(arready),
        .s_axil_rdata(rdata), .s_axil_rresp(rresp), .s_axil_rvalid(rvalid), .s_axil_rready(1'b1),
        .s_axis_tdata(beat[31:0]), .s_axis_tlast(beat[32]), .s_axis_tvalid(source_valid), .s_axis_tready(source_ready),
        .m_axis_tdata(sink_data), .m_axis_tlast(sink_last), .m_axis_tvalid(sink_valid), .m_axis_tready(sink_ready),
        .trace_codes(), .trace_converted(), .trace_cycles(), .trace_exponent(), .trace_finished(), .trace_index(),
        .trace_instruction(), .trace_mantissas(), .trace_mux(), .trace_pc(), .trace_retired(), .trace_scalar(),
        .trace_write(),
        /* verilator lint_on PINCONNECTEMPTY */
        .trace_phase(phase)
    );

    // ------------------------------------------------------------------------------------------ operations

    reg [31:0] since = 32'd0;            // clocks of the operation
    wire accepted = valid && (writing ? awready : arready);
    wire answered = writing ? bvalid : rvalid;
    wire refused = (writing ? bresp : rresp) != 2'd0;

    initial begin
        {failed, words_done, source_begin, sink_end, objects} = '0;
        {clocks, leapt} = '0;
    end

    task finish(input bit wrong);
        working <= 1'b0;
        failed <= wrong;
        rst <= 1'b0;
    endtask

    always @(posedge clk) begin
        clocks <= clocks + 64'd1;
        since <= since + 32'd1;
        if (token != seen) begin
            seen <= token;
            working <= 1'b1;
            {failed, words_done, since} <= '0;
            valid <= writing | reading;
            rst <= operation == 3'd0;
        end else if (working)
            case (operation)
                3'd0: if (since >= limit) finish(1'b0);
                3'd1, 3'd2: begin
                    if (accepted) valid <= 1'b0;
                    if (answered) begin
                        if (reading) buffer[words_done[$clog2(WORDS)-1:0]] <= rdata;
                        words_done <= words_done + 32'd1;
                        if (refused || words_done + 32'd1 == count) finish(refused);
                        else valid <= 1'b1;
                    end
                end
                3'd3: if (interrupt || since >= limit) finish(!interrupt);
                3'd4: if (objects >= count || since >= limit) finish(objects < count);
                default: begin
                    connected <= 1'b1;
                    finish(1'b0);
                end
            endcase
    end

    // ------------------------------------------------------------------------------------------ waits

    // While a loop settles and the bus and the streams are at rest, a clock changes nothing but the counters below, up
    // to the next sample, the watchdog or the end of the operation. So all these clocks but one or two are one step.

    localparam [3:0] SETTLE = 4'd5;      // Phase of events.py
    localparam [31:0] SHORTEST = 32'd4;  // a shorter stride takes longer than its clocks
    localparam [31:0] REST = 32'd8;      // clocks after which a bus or a stream that nothing moved is at rest

    reg [31:0] at_rest = 32'd0;          // clocks in a row, up to REST, in which nothing moved on a bus or a stream
    reg was_settling = 1'b0;             // the macro has seen the loop closed
    reg [31:0] stride;

    function automatic [31:0] up_to(input [31:0] most, input [31:0] counted, input [31:0] last);
        reg [31:0] room;
        room = last - counted;
        // One clock is left to be taken by itself, and the chip looks at a counter two clocks ahead.
        up_to = last < counted + 32'd3 ? 32'd0 : room - 32'd3 < most ? room - 32'd3 : most;
    endfunction

    always_comb begin
        stride = 32'd0;
        if (was_settling && phase == SETTLE && at_rest == REST) begin
            stride = up_to(up_to('1, since, limit), 32'(chip.chip.loop.since), 32'(chip.chip.loop.interval));
            if (chip.chip.sequencer.watchdog != 32'd0)
                stride = up_to(stride, chip.chip.sequencer.spent, chip.chip.sequencer.watchdog);
        end
    end

    wire waiting = working && operation inside {3'd3, 3'd4};

    always @(posedge clk) begin
        was_settling <= phase == SETTLE;
        if (!waiting || (source_pause | sink_pause) != 32'd0 || source_taken
            || sink_valid && sink_ready) at_rest <= 32'd0;
        else if (at_rest != REST) at_rest <= at_rest + 32'd1;
    end

    // While the converters scan, the units that have no part in it sleep (sleep.py): from the clock in which the scan is
    // started to its last, unless the watchdog could end it.

    wire [31:0] scan = chip.macro.STEPS*(chip.macro.ADC_BITS + 1) + 2;

    reg awake = 1'b1;
    wire safe = chip.chip.sequencer.watchdog == 32'd0
        || chip.chip.sequencer.watchdog > chip.chip.sequencer.spent + scan;

    always @(posedge clk)
        awake <= !(waiting && at_rest == REST
            && (chip.chip.loop.convert && safe || !awake && !chip.chip.converters.done));

    // A counter of closed clocks; `amount` tells the one of the bandwidth that is set.
    `define COUNT(k) chip.chip.counters.closed_clock_``k <= chip.chip.counters.closed_clock_``k \
        + (chip.chip.counters.closed_clock_``k``_amount ? stride : 32'd0)

    always @(leap) if (leap != landed) begin
        landed <= leap;
        clocks <= clocks + 64'(stride);
        leapt <= leapt + 64'(stride);
        since <= since + stride;
        chip.chip.loop.since <= chip.chip.loop.since + 21'(stride);
        chip.chip.loop.elapsed <= chip.chip.loop.elapsed + 25'(stride);
        chip.chip.sequencer.spent <= chip.chip.sequencer.spent + stride;
        chip.chip.sequencer.cycles <= chip.chip.sequencer.cycles + stride;
        `COUNT(0);
        `COUNT(1);
        `COUNT(2);
        `COUNT(3);
        // The macro counts from the last sample, so never further than an interval is long.
        chip.macro.pending = chip.macro.pending + int'(stride);
    end

    // ------------------------------------------------------------------------------------------ streams

    reg [31:0] noise = 32'd1;
    wire source_taken = source_valid & source_ready;
    wire [31:0] source_next = source_begin + {31'd0, source_taken};

    // Xorshift, for pauses that are the same in every run.
    function [31:0] shifted(input [31:0] x);
        x = x ^ (x << 13);
        x = x ^ (x >> 17);
        shifted = x ^ (x << 5);
    endfunction

    always @(posedge clk) begin
        if (operation == 3'd5) noise <= seed | 32'd1;
        else if ((source_pause | sink_pause) != 32'd0) noise <= shifted(noise);
        source_begin <= source_next;
        source_valid <= source_valid && !source_taken
            || connected && source_next != source_end && noise >= source_pause;
        sink_ready <= connected && sink_end - sink_begin < BEATS - 2 && {noise[15:0], noise[31:16]} >= sink_pause;
        if (sink_valid && sink_ready) begin
            sink[sink_end[BEAT_BITS-1:0]] <= {sink_last, sink_data};
            sink_end <= sink_end + 32'd1;
            objects <= objects + {31'd0, sink_last};
        end
    end
endmodule
