// Analogue macro, hash body: no analogue arithmetic, for running chip and golden machine in lock-step at digital speed.
//
// The numbered rules are those of hash_macro.py beside this file, whose answers are the same bit for bit. Pins and
// contract: hdl/ohmloop_hdl/macro/pins.py.
//
// The settings come from a file written by HashDie.write_file of hash_macro.py, named by the plusarg
// +ohmloop_macro=FILE, else by the parameter FILE. Without a file they are the defaults of HashSettings.

// One process alone reads and writes the state, in sequence:
// verilator lint_off BLKSEQ
// The contract has no reset pin, so power-up values stand in the declarations:
// verilator lint_off PROCASSINIT
// A body is known by its file, all bodies have one module name:
// verilator lint_off DECLFILENAME
// Of a hash not every bit is drawn:
// verilator lint_off UNUSEDSIGNAL

module ohmloop_macro #(
    parameter int N = 64,          // rows and columns, a power of two, at least 4
    parameter int CELL_BITS = 4,
    parameter int DAC_BITS = 8,
    parameter int ADC_BITS = 8,
    parameter int ADCS = 8,
    parameter FILE = ""            // settings if there is no plusarg
) (
    input  wire                                            clk,
    input  wire [N-1:0]                                    row,
    input  wire                                            plane,
    input  wire                                            write,
    input  wire [N*CELL_BITS-1:0]                          write_data,
    input  wire                                            read,
    output wire [N*CELL_BITS-1:0]                          sense,
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
    output wire [ADCS-1:0]                                 above,
    output reg  [N-1:0]                                    clipped
);
    localparam int STEPS = N/ADCS;
    localparam int LINE_WORDS = (N*CELL_BITS + 31)/32;
    localparam int LINE_SPAN = 32*LINE_WORDS;
    localparam int DAC_WORDS = (N*DAC_BITS + 31)/32;
    localparam int DAC_SPAN = 32*DAC_WORDS;
    localparam int TOP_CODE = (1 << (ADC_BITS - 1)) - 1;
    localparam int BOTTOM_CODE = -(1 << (ADC_BITS - 1));
    localparam [2:0] LAST_ATTEMPT = 3'd7;

    localparam [31:0] ARRAYS = 32'd1, START = 32'd2, CELL_FAULTS = 32'd3;
    localparam [31:0] CLIP = 32'h101, KIND = 32'h102, RESULT = 32'h103, SIZE = 32'h104, SAMPLE_KEY = 32'h105;

    localparam [1:0] AT_ONCE = 2'd0, LATE = 2'd1, RESTLESS = 2'd2, NEVER = 2'd3;

    // Settings in the order of the file
    localparam int SIZE_N = 0, SEED = 1, W_CLIP = 2, W_NEVER = 3, W_LATE = 4, W_RESTLESS = 5, W_ZERO = 6,
        W_ZERO_UNDRIVEN = 7, W_SMALL = 8, STUCK = 9, WEAK = 10;
    reg [31:0] settings [0:10];

    reg [N*CELL_BITS-1:0] cells [0:2*N-1];
    reg [31:0] line_digests [0:2*N-1];
    reg [31:0] arrays = 32'd0;
    reg faults = 1'b0;                               // some cells are stuck or weak
    reg [N*CELL_BITS-1:0] asked = '0;                // what the pulse in progress writes
    reg [$clog2(N):0] pulse_line = '0;               // line of the last pulse
    reg [2:0] attempt = 3'd0;                        // number of that pulse on that line, 0 before any

    reg [N*ADC_BITS-1:0] held /* verilator public_flat_rd */ = '0;
    reg [N*ADC_BITS-1:0] result = '0;
    reg frozen = 1'b0;
    reg [31:0] loop_key = 32'd0, kind_word = 32'd0;
    reg [1:0] kind = AT_ONCE;
    reg [1:0] clip_sample = 2'd0;                    // 0: does not clip
    reg [31:0] number = 32'd0;                       // s
    reg [31:0] clocks = 32'd0;                       // t

    reg last_sample = 1'b0, last_write = 1'b0;
    reg [$clog2(N):0] last_line = '0;
    reg [1:0] last_mode = 2'b00;
    reg [N*DAC_BITS-1:0] last_dac = '0;
    reg [2:0] last_range = 3'd0;

    // ------------------------------------------------------------------------------------------ hash

    function automatic [31:0] mix(input [31:0] x);
        reg [31:0] y;
        begin
            y = (x ^ (x >> 16))*32'h7feb_352d;
            y = (y ^ (y >> 15))*32'h846c_a68b;
            mix = y ^ (y >> 16);
        end
    endfunction

    function automatic [31:0] fold(input [31:0] key, input [31:0] x);
        fold = mix((key + 32'h9e37_79b9) ^ x);
    endfunction

    // Rule 1
    function automatic [31:0] line_digest(input [$clog2(N):0] address, input [N*CELL_BITS-1:0] codes);
        reg [LINE_SPAN-1:0] bus;
        begin
            bus = LINE_SPAN'(codes);
            line_digest = fold(ARRAYS, 32'(address));
            for (int k = 0; k < LINE_WORDS; k = k + 1) line_digest = fold(line_digest, bus[32*k +: 32]);
        end
    endfunction

    // Rule 7
    function automatic chosen(input [31:0] w, input [31:0] d, input int i);
        begin
            case (w[9:8])
                2'd0: chosen = 1'b0;
                2'd1: chosen = d[2:0] == 3'd0;
                2'd2: chosen = d[0] == 1'b0;
                default: chosen = 1'b1;
            endcase
            if (w[$clog2(N)-1:0] == $clog2(N)'(i)) chosen = 1'b1;
        end
    endfunction

    // ------------------------------------------------------------------------------------------ power-up

    initial begin
        load_settings;
        clipped = '0;
        for (int l = 0; l < 2*N; l = l + 1) begin
            cells[l] = taken(l[$clog2(N):0], '0, LAST_ATTEMPT);
            line_digests[l] = line_digest(l[$clog2(N):0], cells[l]);
            arrays = arrays ^ line_digests[l];
        end
    end

    task automatic load_settings;
        string file;
        begin
            settings[SIZE_N] = N;
            settings[SEED] = 32'd1;
            settings[W_CLIP] = 32'd64;
            settings[W_NEVER] = 32'd8;
            settings[W_LATE] = 32'd96;
            settings[W_RESTLESS] = 32'd32;
            settings[W_ZERO] = 32'd16;
            settings[W_ZERO_UNDRIVEN] = 32'd128;
            settings[W_SMALL] = 32'd64;
            settings[STUCK] = 32'd0;
            settings[WEAK] = 32'd0;
            if ($value$plusargs("ohmloop_macro=%s", file)) $readmemh(file, settings);
            else if (FILE != "") $readmemh(FILE, settings);
            if (settings[SIZE_N] != N)
                $fatal(1, "ohmloop_macro: the settings are for N = %0d, this macro has N = %0d", settings[SIZE_N], N);
            faults = settings[STUCK] != 32'd0 || settings[WEAK] != 32'd0;
        end
    endtask

    // ------------------------------------------------------------------------------------------ cells

    function automatic [$clog2(N)-1:0] position(input [N-1:0] one_hot);
        begin
            position = '0;
            for (int i = 0; i < N; i = i + 1) if (one_hot[i] === 1'b1) position = $bits(position)'(i);
        end
    endfunction

    wire [$clog2(N):0] line = {plane, position(row)};
    assign sense = read && row != '0 ? cells[line] : '0;

    // Rule 10
    function automatic [N*CELL_BITS-1:0] taken(input [$clog2(N):0] address, input [N*CELL_BITS-1:0] codes,
                                               input [2:0] attempt_number);
        reg [31:0] line_key, f, g;
        reg [CELL_BITS-1:0] code;
        begin
            taken = codes;
            if (faults) begin
                line_key = fold(fold(CELL_FAULTS, settings[SEED]), 32'(address));
                for (int i = 0; i < N; i = i + 1) begin
                    f = fold(line_key, i);
                    code = codes[i*CELL_BITS +: CELL_BITS];
                    g = fold(f, 32'(code));
                    if (32'(f[15:0]) < settings[STUCK])
                        code = f[16 +: CELL_BITS];
                    else if (32'(g[15:0]) < settings[WEAK] && attempt_number <= 3'd1 + 3'(g[17:16]))
                        code = code ^ (CELL_BITS'(1) << (32'(g[20:18]) % CELL_BITS));
                    taken[i*CELL_BITS +: CELL_BITS] = code;
                end
            end
        end
    endfunction

    task automatic write_line;
        reg [31:0] digest;
        reg lasts;
        begin
            lasts = last_write && line == last_line;
            if (!lasts) begin
                if (attempt == 3'd0 || line != pulse_line) attempt = 3'd1;
                else if (attempt != LAST_ATTEMPT) attempt = attempt + 3'd1;
            end
            pulse_line = line;
            if (!lasts || write_data !== asked) begin
                cells[line] = taken(line, write_data, attempt);
                digest = line_digest(line, cells[line]);
                arrays = arrays ^ line_digests[line] ^ digest;
                line_digests[line] = digest;
            end
            asked = write_data;
        end
    endtask

    // ------------------------------------------------------------------------------------------ loop

    wire [1:0] mode = {close_multiply === 1'b1, close_solve === 1'b1};

    // Rules 2, 4 and 5
    task automatic start_loop;
        reg [DAC_SPAN-1:0] bus;
        reg [31:0] base, c, level, below;
        begin
            bus = DAC_SPAN'(dac);
            level = mode[1] ? 32'(feedback) : 32'(drive_range);
            base = fold(fold(fold(START, settings[SEED]), 32'(mode)), 32'(bandwidth));
            for (int k = 0; k < DAC_WORDS; k = k + 1) base = fold(base, bus[32*k +: 32]);
            base = fold(base, arrays);
            loop_key = fold(base, level);

            c = fold(base, CLIP);
            below = 32'd1 + (mode[1] ? 32'(c[9:8]) : 32'(c[10:8]));
            clip_sample = 2'd0;
            if (32'(c[7:0]) < settings[W_CLIP] && level < below) clip_sample = c[13:12] == 2'd0 ? 2'd1 : c[13:12];

            kind_word = fold(loop_key, KIND);
            if (32'(kind_word[7:0]) < settings[W_NEVER]) kind = NEVER;
            else if (32'(kind_word[7:0]) < settings[W_NEVER] + settings[W_LATE]) kind = LATE;
            else if (32'(kind_word[7:0]) < settings[W_NEVER] + settings[W_LATE] + settings[W_RESTLESS])
                kind = RESTLESS;
            else kind = AT_ONCE;
            number = 32'd0;
            clocks = 32'd0;
        end
    endtask

    // Rule 6
    task automatic settle;
        reg [31:0] r, z, limit, h, shift;
        begin
            r = fold(fold(loop_key, RESULT), clocks);
            z = fold(r, SIZE);
            limit = last_dac == '0 ? settings[W_ZERO_UNDRIVEN] : settings[W_ZERO];
            shift = 32'(z[7:0]) < limit + settings[W_SMALL] ? 32'd1 + 32'(z[9:8]) : 32'd0;
            result = '0;
            if (32'(z[7:0]) >= limit) for (int i = 0; i < N; i = i + 1) begin
                h = fold(r, i);
                result[i*ADC_BITS +: ADC_BITS] = ADC_BITS'(32'($signed(h[ADC_BITS-1:0])) >>> shift);
            end
        end
    endtask

    function automatic [31:0] amplitude;
        case (kind)
            NEVER: amplitude = 32'd2;
            LATE: amplitude = number < 32'd2 + 32'(kind_word[10:8]) ? 32'd2 + 32'(kind_word[10:8]) - number : 32'd0;
            RESTLESS: amplitude = 32'd1 + 32'(kind_word[12:11]);
            default: amplitude = 32'd0;
        endcase
    endfunction

    // Rules 6 to 9
    task automatic take_sample;
        reg [N*ADC_BITS-1:0] codes;
        reg [N-1:0] flags;
        reg [31:0] w, d, m;
        int value;
        begin
            if (last_mode == 2'b00) held <= '0;
            else if (!frozen) begin
                number = number + 32'd1;
                if (number == 32'd1) settle;
                codes = result;
                flags = '0;
                m = amplitude();
                frozen = number == 32'(clip_sample);
                if (m != 32'd0 || frozen) begin
                    w = fold(fold(fold(loop_key, SAMPLE_KEY), number), clocks);
                    for (int i = 0; i < N; i = i + 1) begin
                        d = fold(w, i);
                        value = 32'($signed(codes[i*ADC_BITS +: ADC_BITS]));
                        if (kind == NEVER && !number[0] && chosen(kind_word, fold(kind_word, i), i))
                            value = value < 0 ? value - BOTTOM_CODE : value + BOTTOM_CODE;
                        if (chosen(w, d, i)) begin
                            value = value + ((32'(d[31:16])*(2*m + 32'd1)) >> 16) - m;
                            if (value > TOP_CODE) value = TOP_CODE;
                            if (value < BOTTOM_CODE) value = BOTTOM_CODE;
                            if (frozen) begin
                                flags[i] = 1'b1;
                                value = d[4] ? BOTTOM_CODE : TOP_CODE;
                            end
                        end
                        codes[i*ADC_BITS +: ADC_BITS] = ADC_BITS'(value);
                    end
                end
                held <= codes;
                clipped <= flags;
            end
        end
    endtask

    // ------------------------------------------------------------------------------------------ converters

    for (genvar a = 0; a < ADCS; a = a + 1) begin : adc
        wire [31:0] output_index = a*STEPS + (STEPS == 1 ? 0 : int'(mux));
        wire signed [ADC_BITS-1:0] code = held[output_index*ADC_BITS +: ADC_BITS];
        wire signed [ADC_BITS-1:0] level = trial[a*ADC_BITS +: ADC_BITS];
        assign above[a] = code >= level;
    end

    // ------------------------------------------------------------------------------------------ the clock

    // What this process writes it also reads directly: through a wire, Verilator 5.52 reads its new value.
    always @(posedge clk) begin
        if (last_sample && sample === 1'b0) take_sample;
        if (mode == 2'b00) begin
            clipped <= '0;
            if (write === 1'b1) write_line;
        end else if (mode != last_mode) begin
            frozen = 1'b0;
            clipped <= '0;
            start_loop;
        end else if (dac != last_dac || (mode[0] && drive_range != last_range)) start_loop;
        clocks = clocks + 32'd1;
        last_sample = sample === 1'b1;
        last_write = write === 1'b1;
        last_line = line;
        last_mode = mode;
        last_dac = dac;
        last_range = drive_range;
    end

    ohmloop_contract #(.N(N), .CELL_BITS(CELL_BITS), .DAC_BITS(DAC_BITS), .ADC_BITS(ADC_BITS), .ADCS(ADCS)) contract (
        .clk(clk), .row(row), .plane(plane), .write(write), .write_data(write_data), .read(read), .sense(sense),
        .dac(dac), .autozero(autozero), .close_solve(close_solve), .close_multiply(close_multiply),
        .drive_range(drive_range), .feedback(feedback), .bandwidth(bandwidth), .sample(sample), .mux(mux),
        .trial(trial), .above(above), .clipped(clipped)
    );
endmodule
