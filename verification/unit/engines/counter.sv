// A counter below a top level: what the engine tests build.
module counter_core #(
    parameter int WIDTH = 4
) (
    input  wire              clk,
    input  wire              enable,
    output logic [WIDTH-1:0] count
);
  logic [WIDTH-1:0] next_count;
  initial count = '0;
  assign next_count = count + 1'b1;
  always @(posedge clk) if (enable) count <= next_count;
endmodule

module counter #(
    parameter int WIDTH = 4
) (
    input  wire              clk,
    input  wire              enable,
    output logic [WIDTH-1:0] total
);
  counter_core #(.WIDTH(WIDTH)) core (.clk(clk), .enable(enable), .count(total));
endmodule
