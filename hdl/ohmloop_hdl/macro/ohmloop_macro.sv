// Analogue macro, real-number body: the loop as exact jumps on the clock, without delays, for Icarus and Verilator.
//
// Pins and numbered rules: macro/pins.py. Equations, scaling and thresholds: sim/ohmloop/analog/loop.py, which this
// body follows step by step; the two agree within rounding. While a loop merely settles nothing is computed: clocks
// are counted, and taken in one jump at a fall of `sample` or a new drive.
//
// The chip (parameters, cells, amplifiers, converters, stuck cells) comes from a file written by Die.write_file of
// sim/ohmloop/analog/cells.py, named by the plusarg +ohmloop_macro=FILE, else by the parameter FILE. Without a file
// it is AnalogParams.ideal().
//
// Sums run in ascending order from the stored value. Build without fused multiply-add (-ffp-contract=off) for results
// that are bit-identical between simulators.

// The state is real numbers that one process alone reads and writes, in sequence:
// verilator lint_off BLKSEQ
// The contract has no reset pin, so power-up values stand in the declarations:
// verilator lint_off PROCASSINIT

module ohmloop_macro #(
    parameter int N = 64,          // rows and columns, a power of two, at least 4
    parameter int CELL_BITS = 4,
    parameter int DAC_BITS = 8,
    parameter int ADC_BITS = 8,
    parameter int ADCS = 8,
    parameter FILE = ""            // parameter file if there is no plusarg
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
    output reg  [ADCS-1:0]                                 above,
    output reg  [N-1:0]                                    clipped
);
    localparam int NN = N*N;
    localparam int STEPS = N/ADCS;

    // loop.py: LAST_POWER, MAX_CLOCKS; converters.py: TIE_LSB
    localparam int LAST_POWER = 24;
    localparam int MAX_CLOCKS = (1 << (LAST_POWER + 1)) - 1;
    localparam real TIE_LSB = 1.0/1048576.0;
    localparam real START_V = 1.0/1048576.0;
    localparam [63:0] NOT_A_NUMBER = 64'h7ff8_0000_0000_0000;
    localparam [63:0] GOLDEN = 64'h9e37_79b9_7f4a_7c15;

    localparam int CODES = 1 << CELL_BITS;                   // codes of a cell
    localparam int LEVELS_DAC = 1 << DAC_BITS;
    localparam int LEVELS_ADC = 1 << ADC_BITS;
    localparam int HEADER = 14;                              // words of the parameter file before the first array
    localparam [63:0] UPSET_INDEX = 64'd12;                  // body.py

    reg [63:0] header [0:HEADER-1];
    reg [63:0] cell_factor [0:2*NN-1];                       // reals as bits, here and below
    reg [63:0] code_level [0:2*NN*CODES-1];                  // the first CODES, or all
    reg [63:0] dac_ratio [0:N*LEVELS_DAC-1];                 // the first LEVELS_DAC, or all
    reg [63:0] adc_ratio [0:ADCS*LEVELS_ADC-1];              // the first LEVELS_ADC, or all
    reg [63:0] effective [0:NN+N-1];                         // A and L of the file, if it has them
    reg [63:0] stuck [0:4*N-1];
    integer level_rows, dac_rows, adc_rows, effective_rows, stuck_rows;
    reg [N*CELL_BITS-1:0] cells [0:2*N-1];
    reg [64*N-1:0] held_bits /* verilator public_flat_rd */; // $realtobits of every held output, for testbenches

    reg [64*N-1:0] next_held;                                // a local of this size would be cleared at every clock

    real clock_s, g0_S, gpar_S, inverse_gain, gbw_Hz, node_capacitance_F, full_scale_V, rail_V, read_noise_V;
    real autozero_residue, comparator_noise_V;

    real raw_offset_V [0:N-1];
    real rail_gain [0:N-1];
    real offset_V [0:N-1];                                   // as the last auto-zero left it
    real matrix [0:NN-1];                                    // A = (G+ - G-)/G0
    real array_load [0:N-1];                                 // L, multiply mode excluded
    real dc_e [0:N-1], dc_V [0:N-1];                         // operating point
    real dev_e [0:N-1], dev_V [0:N-1];                       // deviation from it
    real next_e [0:N-1], next_V [0:N-1];
    real drive_V [0:N-1];                                    // as the DACs and the range make it

    reg diagonal = 1'b0;                                     // multiply mode: element by element
    reg slaved = 1'b0;                                       // no node capacitance
    reg runaway = 1'b0;
    reg singular = 1'b0;
    reg arrays_known = 1'b0;
    reg tables_known = 1'b0;
    reg [2:0] tables_setting = 3'd0;                         // mode and feedback of the tables
    reg [1:0] tables_bandwidth = 2'd0;
    reg frozen = 1'b0;
    reg zeroed = 1'b0;
    reg last_sample = 1'b0;
    reg [1:0] last_mode = 2'b00;
    reg [N*DAC_BITS-1:0] last_dac = '0;
    reg [2:0] last_range = 3'd0;
    integer pending = 0;
    reg [63:0] samples = 64'd0;
    reg [63:0] closings = 64'd0;
    real w = 0.0, node = 0.0, gf = 0.0;

    wire [1:0] mode = {close_multiply === 1'b1, close_solve === 1'b1};

    // ------------------------------------------------------------------------------------------ power-up

    initial begin
        load_parameters;
        held_bits = '0;
        clipped = '0;
        for (int r = 0; r < 2*N; r = r + 1) cells[r] = '0;
        for (int r = 0; r < 2*N; r = r + 1) store_row(r, '0);
        compare;
    end

    task automatic load_parameters;
        string file;
        integer fd;
        begin
            header[0] = 64'(N);
            header[1] = $realtobits(1.0/50.0e6);
            header[2] = $realtobits(15.0e-6);
            header[3] = $realtobits(0.0);
            header[4] = $realtobits(0.0);
            header[5] = $realtobits(20.0e6);
            header[6] = $realtobits(0.0);
            header[7] = $realtobits(0.4);
            header[8] = $realtobits(0.4);
            header[9] = $realtobits(0.0);
            header[10] = 64'd1;
            header[11] = $realtobits(0.1);
            header[12] = $realtobits(0.0);
            header[13] = 64'd0;
            for (int i = 0; i < N; i = i + 1) begin
                raw_offset_V[i] = 0.0;
                rail_gain[i] = 1.0;
            end
            for (int i = 0; i < 2*NN; i = i + 1) cell_factor[i] = $realtobits(1.0);
            for (int i = 0; i < CODES; i = i + 1) code_level[i] = $realtobits(real'(i)/real'(CODES - 1));
            for (int i = 0; i < LEVELS_DAC; i = i + 1)
                dac_ratio[i] = $realtobits(real'(i - LEVELS_DAC/2)/real'(LEVELS_DAC/2));
            for (int i = 0; i < LEVELS_ADC; i = i + 1)
                adc_ratio[i] = $realtobits((real'(i - LEVELS_ADC/2) - 0.5 - TIE_LSB)/real'(LEVELS_ADC/2));
            level_rows = 1;
            dac_rows = 1;
            adc_rows = 1;
            effective_rows = 0;
            stuck_rows = 0;
            if (!$value$plusargs("ohmloop_macro=%s", file)) file = FILE;
            if (file != "") begin
                fd = $fopen(file, "r");
                if (fd == 0) $fatal(1, "ohmloop_macro: cannot open the parameter file %s", file);
                for (int i = 0; i < HEADER; i = i + 1) header[i] = next_word(fd);
                if (header[0] != 64'(N))
                    $fatal(1, "ohmloop_macro: the parameter file is for N = %0d, this macro has N = %0d", header[0], N);
                for (int i = 0; i < N; i = i + 1) raw_offset_V[i] = $bitstoreal(next_word(fd));
                for (int i = 0; i < N; i = i + 1) rail_gain[i] = $bitstoreal(next_word(fd));
                for (int i = 0; i < 2*NN; i = i + 1) cell_factor[i] = next_word(fd);
                level_rows = int'(next_word(fd));
                for (int i = 0; i < level_rows*CODES; i = i + 1) code_level[i] = next_word(fd);
                dac_rows = int'(next_word(fd));
                for (int i = 0; i < dac_rows*LEVELS_DAC; i = i + 1) dac_ratio[i] = next_word(fd);
                adc_rows = int'(next_word(fd));
                for (int i = 0; i < adc_rows*LEVELS_ADC; i = i + 1) adc_ratio[i] = next_word(fd);
                effective_rows = int'(next_word(fd));
                if (effective_rows != 0)
                    for (int i = 0; i < NN + N; i = i + 1) effective[i] = next_word(fd);
                stuck_rows = int'(next_word(fd));
                for (int i = 0; i < 4*stuck_rows; i = i + 1) stuck[i] = next_word(fd);
                $fclose(fd);
            end
            clock_s = $bitstoreal(header[1]);
            g0_S = $bitstoreal(header[2]);
            gpar_S = $bitstoreal(header[3]);
            inverse_gain = $bitstoreal(header[4]);
            gbw_Hz = $bitstoreal(header[5]);
            node_capacitance_F = $bitstoreal(header[6]);
            full_scale_V = $bitstoreal(header[7]);
            rail_V = $bitstoreal(header[8]);
            read_noise_V = $bitstoreal(header[9]);
            autozero_residue = $bitstoreal(header[11]);
            comparator_noise_V = $bitstoreal(header[12]);
            slaved = node_capacitance_F == 0.0;
            node = slaved ? 0.0 : g0_S*clock_s/node_capacitance_F;
        end
    endtask

    function automatic [63:0] next_word(input integer fd);
        reg [63:0] word;
        begin
            if ($fscanf(fd, "%h", word) != 1) $fatal(1, "ohmloop_macro: the parameter file ends too early");
            next_word = word;
        end
    endfunction

    // ------------------------------------------------------------------------------------------ cells

    function automatic [$clog2(N)-1:0] position(input [N-1:0] one_hot);
        begin
            position = '0;
            // Asked at every clock, mostly with no word line.
            if (one_hot !== '0)
                for (int i = 0; i < N; i = i + 1) if (one_hot[i] === 1'b1) position = $bits(position)'(i);
        end
    endfunction

    wire [$clog2(N):0] line = {plane, position(row)};
    assign sense = read && row != '0 ? cells[line] : '0;

    // Stuck cells keep their code whatever is written.
    task automatic store_row(input int address, input [N*CELL_BITS-1:0] data);
        reg [N*CELL_BITS-1:0] kept;
        begin
            kept = data;
            for (int c = 0; c < stuck_rows; c = c + 1)
                if (int'(stuck[4*c])*N + int'(stuck[4*c + 1]) == address)
                    kept[int'(stuck[4*c + 2])*CELL_BITS +: CELL_BITS] = CELL_BITS'(stuck[4*c + 3]);
            if (cells[address] !== kept) begin
                cells[address] = kept;
                arrays_known = 1'b0;
                tables_known = 1'b0;
            end
        end
    endtask

    // Conductance over G0 of a cell that holds `code`; `place` counts plane by plane, row by row.
    function automatic real conductance(input int place, input int code);
        conductance = $bitstoreal(cell_factor[place])
            * $bitstoreal(code_level[(level_rows == 1 ? 0 : place*CODES) + code]);
    endfunction

    // Bits of cells that flipped since the last closing: those whose hash is below the limit.
    task automatic upset;
        reg [N*CELL_BITS-1:0] data;
        reg [63:0] key;
        begin
            if (header[13] != 64'd0) begin
                key = mix(mix(header[10] + GOLDEN) + (closings + 64'd1)*GOLDEN);
                for (int r = 0; r < 2*N; r = r + 1) begin
                    data = cells[r];
                    for (int b = 0; b < N*CELL_BITS; b = b + 1)
                        if (mix(mix(key + (64'(r*N*CELL_BITS + b) + 64'd1)*GOLDEN) + (UPSET_INDEX + 64'd1)*GOLDEN)
                                < header[13])
                            data[b] = !data[b];
                    store_row(r, data);
                end
            end
        end
    endtask

    // A, L and the LU factors.
    task automatic read_arrays;
        reg [N*CELL_BITS-1:0] plus, minus;
        real g_plus, g_minus, total;
        begin
            for (int i = 0; i < N; i = i + 1) begin
                plus = cells[i];
                minus = cells[N + i];
                total = 0.0;
                for (int j = 0; j < N; j = j + 1) begin
                    g_plus = conductance(i*N + j, int'(plus[j*CELL_BITS +: CELL_BITS]));
                    g_minus = conductance(NN + i*N + j, int'(minus[j*CELL_BITS +: CELL_BITS]));
                    matrix[i*N + j] = g_plus - rail_gain[j]*g_minus;
                    total = total + (g_plus + g_minus);
                end
                array_load[i] = total + (1.0 + gpar_S/g0_S);
                if (effective_rows != 0) begin
                    for (int j = 0; j < N; j = j + 1) matrix[i*N + j] = $bitstoreal(effective[i*N + j]);
                    array_load[i] = $bitstoreal(effective[NN + i]);
                end
            end
            factorise;
            arrays_known = 1'b1;
        end
    endtask

    // ------------------------------------------------------------------------------------------ the arithmetic

    // What takes the time: LU factors, operating point, tables and jumps. Where OHMLOOP_DPI is defined, ohmloop_macro.c
    // does it, else the tasks behind. They do the same sums in the same order: results are the same to the last bit.
`ifdef OHMLOOP_DPI

    // Arrays of open size, so that macros of several sizes can be in one design.
    import "DPI-C" function chandle ohmloop_new(input int size);
    import "DPI-C" function void ohmloop_free(input chandle held);
    import "DPI-C" function int ohmloop_factorise(
        input chandle held, input real a [], input real l [], input real inverse);
    import "DPI-C" function int ohmloop_build_tables(
        input chandle held, input int is_diagonal, input real feedback_g, input real amplifier, input real summing);
    import "DPI-C" function void ohmloop_solve_point(
        input chandle held, input real u [], input real vos []);
    import "DPI-C" function void ohmloop_advance(
        input chandle held, input int clocks, input real e [], input real v []);
    // Results one by one: those of an array argument would stand in a local, which is cleared at every clock.
    import "DPI-C" function real ohmloop_held_e(input chandle held, input int i);
    import "DPI-C" function real ohmloop_held_V(input chandle held, input int i);

    chandle loop;                                            // its factors and tables

    initial loop = ohmloop_new(N);
    final ohmloop_free(loop);

    task automatic factorise;
        singular = ohmloop_factorise(loop, matrix, array_load, inverse_gain) != 0;
    endtask

    task automatic build_tables;
        runaway = ohmloop_build_tables(loop, int'(diagonal), gf, w, node) != 0;
    endtask

    task automatic solve_point;
        ohmloop_solve_point(loop, drive_V, offset_V);
        for (int i = 0; i < N; i = i + 1) dc_V[i] = ohmloop_held_V(loop, i);
    endtask

    task automatic advance;
        ohmloop_advance(loop, pending, dev_e, dev_V);
        for (int i = 0; i < N; i = i + 1) begin
            dev_e[i] = ohmloop_held_e(loop, i);
            dev_V[i] = ohmloop_held_V(loop, i);
        end
    endtask

`else

    // loop.py: TAYLOR_ORDER, DECAYED, RUNAWAY, SMALLEST_PIVOT
    localparam int TAYLOR_ORDER = 22;
    localparam real DECAYED = 1.0/1048576.0;
    localparam real RUNAWAY = 1048576.0;
    localparam real SMALLEST_PIVOT = 1.0e-12;

    // Places in `store`, which holds every matrix: N*N words each, of which multiply mode uses the first N
    localparam int S1_TABLES = 0;                            // 25 step tables S1 of 2^p clocks
    localparam int S2_TABLES = (LAST_POWER + 1)*NN;          // and S2
    localparam int FACTORED = 50*NN;                         // LU factors of A + L/A0
    localparam int COUPLING = 51*NN;                         // A, or the feedback on the diagonal
    localparam int GENERATOR = 52*NN;                        // B, or all of J T without node capacitance
    localparam int OVER_W = 53*NN;                           // B / W
    localparam int R1 = 54*NN;
    localparam int R2 = 55*NN;
    localparam int X1 = 56*NN;
    localparam int X2 = 57*NN;

    real store [0:64*NN-1];                                  // 58 used: a power of two spares bounds checks
    integer order [0:N-1];                                   // row order of the LU factors
    real load [0:N-1];                                       // L of the mode that is closed
    real node_rate [0:N-1];                                  // P
    real dr [0:N-1];                                         // Dr = (P - W/A0)/W
    real aux [0:N-1], rhs [0:N-1];
    real leak;
    integer tables_built = 0;

    // LU factors of A + L/A0 (partial pivoting: the first of the largest wins).
    task automatic factorise;
        integer best, held_order;
        real pivot, factor, swap;
        begin
            for (int q = 0; q < NN; q = q + 1) store[FACTORED + q] = matrix[q];
            for (int i = 0; i < N; i = i + 1) begin
                store[FACTORED + i*N + i] = store[FACTORED + i*N + i] + array_load[i]*inverse_gain;
                order[i] = i;
            end
            singular = 1'b0;
            for (int k = 0; k < N; k = k + 1) if (!singular) begin
                best = k;
                for (int i = k + 1; i < N; i = i + 1)
                    if (magnitude(store[FACTORED + i*N + k]) > magnitude(store[FACTORED + best*N + k])) best = i;
                if (best != k) begin
                    held_order = order[k];
                    order[k] = order[best];
                    order[best] = held_order;
                    for (int j = 0; j < N; j = j + 1) begin
                        swap = store[FACTORED + k*N + j];
                        store[FACTORED + k*N + j] = store[FACTORED + best*N + j];
                        store[FACTORED + best*N + j] = swap;
                    end
                end
                pivot = store[FACTORED + k*N + k];
                if (magnitude(pivot) < SMALLEST_PIVOT) singular = 1'b1;
                else for (int i = k + 1; i < N; i = i + 1) begin
                    factor = store[FACTORED + i*N + k]/pivot;
                    store[FACTORED + i*N + k] = factor;
                    for (int j = k + 1; j < N; j = j + 1)
                        store[FACTORED + i*N + j] = store[FACTORED + i*N + j] - factor*store[FACTORED + k*N + j];
                end
            end
        end
    endtask

    function automatic real magnitude(input real x);
        magnitude = x < 0.0 ? -x : x;
    endfunction

    // store[target] += store[x] * store[y]: matrix product in 4 x 4 blocks, or element by element in multiply mode.
    task automatic multiply(input int target, input int x, input int y);
        real c00, c01, c02, c03, c10, c11, c12, c13, c20, c21, c22, c23, c30, c31, c32, c33;
        real x0, x1, x2, x3, y0, y1, y2, y3;
        int t, p, q;
        begin
            if (diagonal) begin
                for (int i = 0; i < N; i = i + 1)
                    store[target + i] = store[target + i] + store[x + i]*store[y + i];
            end else begin
                for (int i = 0; i < N; i = i + 4) for (int j = 0; j < N; j = j + 4) begin
                    t = target + i*N + j;
                    c00 = store[t];       c01 = store[t+1];       c02 = store[t+2];       c03 = store[t+3];
                    c10 = store[t+N];     c11 = store[t+N+1];     c12 = store[t+N+2];     c13 = store[t+N+3];
                    c20 = store[t+2*N];   c21 = store[t+2*N+1];   c22 = store[t+2*N+2];   c23 = store[t+2*N+3];
                    c30 = store[t+3*N];   c31 = store[t+3*N+1];   c32 = store[t+3*N+2];   c33 = store[t+3*N+3];
                    p = x + i*N;
                    q = y + j;
                    for (int k = 0; k < N; k = k + 1) begin
                        x0 = store[p];  x1 = store[p+N];  x2 = store[p+2*N];  x3 = store[p+3*N];
                        y0 = store[q];  y1 = store[q+1];  y2 = store[q+2];    y3 = store[q+3];
                        c00 = c00 + x0*y0;  c01 = c01 + x0*y1;  c02 = c02 + x0*y2;  c03 = c03 + x0*y3;
                        c10 = c10 + x1*y0;  c11 = c11 + x1*y1;  c12 = c12 + x1*y2;  c13 = c13 + x1*y3;
                        c20 = c20 + x2*y0;  c21 = c21 + x2*y1;  c22 = c22 + x2*y2;  c23 = c23 + x2*y3;
                        c30 = c30 + x3*y0;  c31 = c31 + x3*y1;  c32 = c32 + x3*y2;  c33 = c33 + x3*y3;
                        p = p + 1;
                        q = q + N;
                    end
                    store[t] = c00;       store[t+1] = c01;       store[t+2] = c02;       store[t+3] = c03;
                    store[t+N] = c10;     store[t+N+1] = c11;     store[t+N+2] = c12;     store[t+N+3] = c13;
                    store[t+2*N] = c20;   store[t+2*N+1] = c21;   store[t+2*N+2] = c22;   store[t+2*N+3] = c23;
                    store[t+3*N] = c30;   store[t+3*N+1] = c31;   store[t+3*N+2] = c32;   store[t+3*N+3] = c33;
                end
            end
        end
    endtask

    function automatic int matrix_words(input bit is_diagonal);
        matrix_words = is_diagonal ? N : NN;
    endfunction

    // Constants of one clock, and the generator of the mode that closes.
    task automatic set_rates;
        int i;
        begin
            leak = w*inverse_gain;
            for (i = 0; i < N; i = i + 1) begin
                load[i] = diagonal ? array_load[i] + gf : array_load[i];
                node_rate[i] = node*load[i];
                dr[i] = (node_rate[i] - leak)/w;
            end
            for (int q = 0; q < matrix_words(diagonal); q = q + 1) begin
                i = diagonal ? q : q/N;
                store[COUPLING + q] = diagonal ? gf : matrix[q];
                store[X2 + q] = diagonal || i == q%N ? 1.0 : 0.0;
                if (slaved) store[GENERATOR + q] = -w*(store[COUPLING + q]/load[i] + inverse_gain*store[X2 + q]);
                else store[GENERATOR + q] = node*store[COUPLING + q];
                store[OVER_W + q] = store[GENERATOR + q]/w;
            end
        end
    endtask

    function automatic real generator_norm(input bit is_diagonal);
        real total;
        begin
            generator_norm = 0.0;
            for (int j = 0; j < N; j = j + 1) begin
                total = slaved ? 0.0 : leak;
                if (is_diagonal) total = total + magnitude(store[GENERATOR + j]);
                else for (int i = 0; i < N; i = i + 1) total = total + magnitude(store[GENERATOR + i*N + j]);
                if (total > generator_norm) generator_norm = total;
                if (!slaved && node_rate[j] + w > generator_norm) generator_norm = node_rate[j] + w;
            end
        end
    endfunction

    // Tables of one clock, then of 2^p clocks until they tell how the loop ends.
    task automatic build_tables;
        real norm, h, size;
        int power;
        bit decided;
        begin
            set_rates;
            norm = generator_norm(diagonal);
            h = 1.0;
            tables_built = 1;
            while (norm > 2.0) begin
                norm = norm*0.5;
                h = h*0.5;
                tables_built = tables_built - 1;
            end
            taylor(h);
            runaway = 1'b0;
            decided = 1'b0;
            power = 0;
            while (!decided) begin
                need_table(power);
                size = table_size(power);
                if (size < DECAYED) decided = 1'b1;
                else if (!(size <= RUNAWAY) || power == LAST_POWER) begin
                    runaway = 1'b1;
                    decided = 1'b1;
                end
                power = power + 1;
            end
        end
    endtask

    // (S1, S2) of h clocks: lower block row of exp(h J T), terms R = (R1, R2) of the series.
    task automatic taylor(input real h);
        real scale, r1, r2;
        reg [$clog2(N)-1:0] column;
        begin
            for (int q = 0; q < matrix_words(diagonal); q = q + 1) begin
                store[R1 + q] = 0.0;
                store[R2 + q] = store[X2 + q];
                store[S1_TABLES + q] = 0.0;
                store[S2_TABLES + q] = store[X2 + q];
            end
            for (int k = 1; k <= TAYLOR_ORDER; k = k + 1) begin
                scale = h/real'(k);
                for (int q = 0; q < matrix_words(diagonal); q = q + 1) store[X2 + q] = 0.0;
                multiply(X2, slaved ? R2 : R1, GENERATOR);
                for (int q = 0; q < matrix_words(diagonal); q = q + 1) begin
                    column = $bits(column)'(diagonal ? q : q%N);
                    r1 = store[R1 + q];
                    r2 = store[R2 + q];
                    if (slaved) store[R2 + q] = scale*store[X2 + q];
                    else begin
                        store[R1 + q] = scale*(-(r1*node_rate[column]) - r2*w);
                        store[R2 + q] = scale*(store[X2 + q] - r2*leak);
                        store[S1_TABLES + q] = store[S1_TABLES + q] + store[R1 + q];
                    end
                    store[S2_TABLES + q] = store[S2_TABLES + q] + store[R2 + q];
                end
            end
        end
    endtask

    // Table `target` = table `source` applied twice: S1 <- S2 S1 + S1 E11, S2 <- S2 S2 + S1 E12 with E11 = S2 + S1 Dr
    // and E12 = -S1 B/W. One product after the other through one call: tasks are inlined where they are called, and
    // ten copies of the product would take Verilator's compiler half a minute.
    task automatic square(input int source, input int target);
        int s1, s2;
        begin
            s1 = S1_TABLES + source*NN;
            s2 = S2_TABLES + source*NN;
            for (int q = 0; q < matrix_words(diagonal); q = q + 1) begin
                store[R1 + q] = 0.0;
                store[R2 + q] = 0.0;
                store[X2 + q] = 0.0;
            end
            for (int product = slaved ? 3 : 0; product <= (slaved ? 3 : 4); product = product + 1) begin
                multiply(product == 0 ? X2 : product <= 2 ? R1 : R2,
                         product == 1 || product == 3 ? s2 : s1,
                         product == 0 ? OVER_W : product == 1 ? s1 : product == 2 ? X1 : product == 3 ? s2 : X2);
                if (product == 0) for (int q = 0; q < matrix_words(diagonal); q = q + 1) begin
                    store[X1 + q] = store[s2 + q] + store[s1 + q]*dr[diagonal ? q : q%N];
                    store[X2 + q] = -store[X2 + q];
                end
            end
            for (int q = 0; q < matrix_words(diagonal); q = q + 1) begin
                store[S1_TABLES + target*NN + q] = store[R1 + q];
                store[S2_TABLES + target*NN + q] = store[R2 + q];
            end
        end
    endtask

    // Squares up to the table of 2^power clocks; tables_built below 1 counts the halvings that table 0 still has.
    task automatic need_table(input int power);
        while (tables_built <= power) begin
            square(tables_built < 1 ? 0 : tables_built - 1, tables_built < 1 ? 0 : tables_built);
            tables_built = tables_built + 1;
        end
    endtask

    // Largest magnitude in a table; not a number if any entry is.
    function automatic real table_size(input int power);
        real x;
        begin
            table_size = 0.0;
            for (int q = 0; q < matrix_words(diagonal); q = q + 1) begin
                x = magnitude(store[S1_TABLES + power*NN + q]);
                if (table_size == table_size && !(x <= table_size)) table_size = x;
                x = magnitude(store[S2_TABLES + power*NN + q]);
                if (table_size == table_size && !(x <= table_size)) table_size = x;
            end
        end
    endfunction

    // Takes `pending` clocks in one go, low bits first.
    task automatic advance;
        for (int power = 0; power <= LAST_POWER; power = power + 1)
            if (((pending >> power) & 1) != 0) begin
                need_table(power);
                step(S1_TABLES + power*NN, S2_TABLES + power*NN);
            end
    endtask

    // z = Dr e - B V/W, e <- S2 e + S1 z, V <- S1 e_old + S2 V; without node capacitance V <- S2 V.
    task automatic step(input int s1, input int s2);
        real ee, ez, ve, vv;
        int first, last, q;
        begin
            for (int i = 0; i < N; i = i + 1) begin
                vv = 0.0;
                first = diagonal ? i : 0;
                last = diagonal ? i : N - 1;
                q = OVER_W + (diagonal ? i : i*N);
                for (int k = first; k <= last; k = k + 1) begin
                    vv = vv + store[q]*dev_V[k];
                    q = q + 1;
                end
                aux[i] = dr[i]*dev_e[i] - vv;
            end
            for (int i = 0; i < N; i = i + 1) begin
                ee = 0.0;
                ez = 0.0;
                ve = 0.0;
                vv = 0.0;
                first = diagonal ? i : 0;
                last = diagonal ? i : N - 1;
                q = diagonal ? i : i*N;
                for (int k = first; k <= last; k = k + 1) begin
                    vv = vv + store[s2 + q]*dev_V[k];
                    if (!slaved) begin
                        ee = ee + store[s2 + q]*dev_e[k];
                        ez = ez + store[s1 + q]*aux[k];
                        ve = ve + store[s1 + q]*dev_e[k];
                    end
                    q = q + 1;
                end
                next_e[i] = slaved ? dev_e[i] : ee + ez;
                next_V[i] = ve + vv;
            end
            for (int i = 0; i < N; i = i + 1) begin
                dev_e[i] = next_e[i];
                dev_V[i] = next_V[i];
            end
        end
    endtask

    // Static equation: (A + L/A0) V = -b + L Vos, or V (gf + L/A0) = -A u + L Vos.
    task automatic solve_point;
        real total;
        begin
            for (int i = 0; i < N; i = i + 1) begin
                total = 0.0;
                if (diagonal) begin
                    for (int j = 0; j < N; j = j + 1) total = total + matrix[i*N + j]*drive_V[j];
                    dc_V[i] = (load[i]*offset_V[i] - total)/(gf + load[i]*inverse_gain);
                end else begin
                    total = load[order[i]]*offset_V[order[i]] - drive_V[order[i]];
                    for (int j = 0; j < i; j = j + 1) total = total - store[FACTORED + i*N + j]*rhs[j];
                    rhs[i] = total;
                end
            end
            if (!diagonal) for (int i = N - 1; i >= 0; i = i - 1) begin
                total = rhs[i];
                for (int j = i + 1; j < N; j = j + 1) total = total - store[FACTORED + i*N + j]*dc_V[j];
                dc_V[i] = total/store[FACTORED + i*N + i];
            end
        end
    endtask

`endif

    // ------------------------------------------------------------------------------------------ the loop

    // Takes the pending clocks in one go.
    task automatic jump;
        begin
            if (!runaway && !frozen) advance;
            pending = 0;
        end
    endtask

    function automatic real driven_V(input int i);
        reg [DAC_BITS-1:0] place;                            // of the code in its table: the sign bit turned
        begin
            place = dac[i*DAC_BITS +: DAC_BITS] ^ {1'b1, {(DAC_BITS - 1){1'b0}}};
            driven_V = $bitstoreal(dac_ratio[(dac_rows == 1 ? 0 : i*LEVELS_DAC) + int'(place)])*full_scale_V
                / real'(diagonal ? 1 : 1 << drive_range);
        end
    endfunction

    // Operating point of the drive that the pins show; e = Vos - V/A0.
    task automatic set_point;
        begin
            for (int i = 0; i < N; i = i + 1) drive_V[i] = driven_V(i);
            solve_point;
            for (int i = 0; i < N; i = i + 1) dc_e[i] = offset_V[i] - dc_V[i]*inverse_gain;
        end
    endtask

    task automatic close_loop;
        begin
            frozen = 1'b0;
            pending = 0;
            upset;
            closings = closings + 64'd1;
            for (int i = 0; i < N; i = i + 1) offset_V[i] = zeroed ? autozero_residue*raw_offset_V[i] : raw_offset_V[i];
            diagonal = mode[1];
            gf = real'(N)*real'(1 << (2*feedback))/16.0;
            if (!arrays_known) read_arrays;
            w = 2.0*3.141592653589793*gbw_Hz*clock_s/real'(1 << bandwidth);
            if (!tables_known || tables_setting != (diagonal ? {1'b1, feedback} : 3'd0)
                || tables_bandwidth != bandwidth) build_tables;
            tables_known = 1'b1;
            tables_setting = diagonal ? {1'b1, feedback} : 3'd0;
            tables_bandwidth = bandwidth;
            if (!diagonal && singular) runaway = 1'b1;
            if (!runaway) begin
                set_point;
                for (int i = 0; i < N; i = i + 1) begin
                    dev_e[i] = offset_V[i] - dc_e[i];
                    dev_V[i] = (((40503*i) >> 7 & 1) != 0 ? START_V : -START_V) - dc_V[i];
                end
            end
        end
    endtask

    task automatic change_drive;
        begin
            if (!frozen && !runaway) begin
                for (int i = 0; i < N; i = i + 1) begin
                    next_e[i] = dc_e[i];
                    next_V[i] = dc_V[i];
                end
                set_point;
                for (int i = 0; i < N; i = i + 1) begin
                    dev_e[i] = dev_e[i] + (next_e[i] - dc_e[i]);
                    dev_V[i] = dev_V[i] + (next_V[i] - dc_V[i]);
                end
            end
        end
    endtask

    // ------------------------------------------------------------------------------------------ converters

    // Holds every output after the pending clocks, and judges clipping before noise.
    task automatic hold;
        reg [N-1:0] flags;
        real v;
        begin
            flags = '0;
            for (int i = 0; i < N; i = i + 1) begin
                if (last_mode == 2'b00) v = 0.0;
                else if (runaway) v = $bitstoreal(NOT_A_NUMBER);
                else v = dc_V[i] + dev_V[i];
                flags[i] = last_mode != 2'b00 && !(v < rail_V && v > -rail_V);
                if (read_noise_V != 0.0) v = v + gaussian(samples, i)*read_noise_V;
                next_held[i*64 +: 64] = $realtobits(v);
            end
            if (!frozen) clipped <= flags;
            if (flags != '0) frozen = 1'b1;
            held_bits <= next_held;
            samples <= samples + 64'd1;
        end
    endtask

    function automatic [63:0] mix(input [63:0] z);
        reg [63:0] y;
        begin
            y = (z ^ (z >> 30))*64'hbf58_476d_1ce4_e5b9;
            y = (y ^ (y >> 27))*64'h94d0_49bb_1331_11eb;
            mix = y ^ (y >> 31);
        end
    endfunction

    // Twelve draws of a hash of (seed, sample, index), summed as integers: converters.py, gaussian.
    function automatic real gaussian(input [63:0] number, input int index);
        reg [63:0] key, draw;
        real total;
        begin
            key = mix(header[10] + GOLDEN);
            key = mix(key + (number + 64'd1)*GOLDEN);
            key = mix(key + (64'(index) + 64'd1)*GOLDEN);
            total = 0.0;
            for (int j = 1; j <= 12; j = j + 1) begin
                draw = mix(key + 64'(j)*GOLDEN);
                total = total + real'(draw >> 32);
            end
            gaussian = total/4294967296.0 - 6.0;
        end
    endfunction

    // Noise of comparing output i with the code at `place` of its table, in the last sample.
    function automatic real decision_V(input [63:0] number, input int i, input int place);
        decision_V = comparator_noise_V == 0.0 ? 0.0
            : gaussian(number == 64'd0 ? 64'd0 : number - 64'd1, N + i*LEVELS_ADC + place)*comparator_noise_V;
    endfunction

    // At an event, not continuously: while a loop merely settles nothing is compared.
    always @(trial or mux or samples) compare;

    task automatic compare;
        integer i;
        reg [ADC_BITS-1:0] place;                            // of the code in its table: the sign bit turned
        real v, ratio;
        begin
            for (int a = 0; a < ADCS; a = a + 1) begin
                i = a*STEPS + (STEPS == 1 ? 0 : int'(mux));
                place = trial[a*ADC_BITS +: ADC_BITS] ^ {1'b1, {(ADC_BITS - 1){1'b0}}};
                v = $bitstoreal(held_bits[i*64 +: 64]);
                ratio = $bitstoreal(adc_ratio[(adc_rows == 1 ? 0 : a*LEVELS_ADC) + int'(place)]);
                // not below, so that not a number reads the top code
                above[a] = !(v - ratio*full_scale_V + decision_V(samples, i, int'(place)) < 0.0);
            end
        end
    endtask

    // ------------------------------------------------------------------------------------------ the clock

    wire fall = last_sample && sample === 1'b0;
    wire new_drive = mode == last_mode && (dac != last_dac || drive_range != last_range);

    always @(posedge clk) begin
        if (last_mode != 2'b00 && (fall || new_drive)) jump;
        if (fall) hold;
        if (mode == 2'b00) begin
            frozen = 1'b0;
            pending = 0;
            clipped <= '0;
            if (last_mode != 2'b00) zeroed = 1'b0;
            if (autozero === 1'b1) zeroed = 1'b1;
            if (write === 1'b1) store_row(int'(line), write_data);
        end else if (mode != last_mode) begin
            clipped <= '0;
            if (last_mode != 2'b00) zeroed = 1'b0;
            close_loop;
            pending = 1;
        end else begin
            if (new_drive) change_drive;
            if (pending < MAX_CLOCKS) pending = pending + 1;
        end
        last_sample <= sample === 1'b1;
        last_mode <= mode;
        last_dac <= dac;
        last_range <= drive_range;
    end

    ohmloop_contract #(.N(N), .CELL_BITS(CELL_BITS), .DAC_BITS(DAC_BITS), .ADC_BITS(ADC_BITS), .ADCS(ADCS)) contract (
        .clk(clk), .row(row), .plane(plane), .write(write), .write_data(write_data), .read(read), .sense(sense),
        .dac(dac), .autozero(autozero), .close_solve(close_solve), .close_multiply(close_multiply),
        .drive_range(drive_range), .feedback(feedback), .bandwidth(bandwidth), .sample(sample), .mux(mux),
        .trial(trial), .above(above), .clipped(clipped)
    );
endmodule
