// C interface of the Verilated chip: open, run one operation a slice at a time, reach its memories, close.

#include <memory>
#include <stdexcept>
#include <string>

#include "Vohmloop_rtl.h"
#include "Vohmloop_rtl___024root.h"
#include "verilated.h"

namespace {

struct Chip {
    VerilatedContext context;
    std::unique_ptr<Vohmloop_rtl> top;
    std::string message;  // why it stopped for good; empty while it runs

    Vohmloop_rtl___024root& inside() { return *top->rootp; }
};

}  // namespace

// What the simulation would print before it ends the process goes to the caller as an error instead.
void vl_fatal(const char* file, int line, const char*, const char* message) {
    throw std::runtime_error(std::string{message} + " (" + file + ":" + std::to_string(line) + ")");
}
void vl_stop(const char* file, int line, const char* scope) { vl_fatal(file, line, scope, "$stop"); }
void vl_finish(const char* file, int line, const char* scope) { vl_fatal(file, line, scope, "$finish"); }

extern "C" {

Chip* ohm_open(const char* plusarg) {
    auto* chip = new Chip;
    const char* arguments[] = {"ohmloop", plusarg};
    chip->context.commandArgs(2, arguments);
    chip->context.fatalOnError(false);
    try {
        chip->top = std::make_unique<Vohmloop_rtl>(&chip->context, "top");
        chip->top->eval();
    } catch (const std::exception& error) {
        chip->message = error.what();
    }
    return chip;
}

void ohm_close(Chip* chip) {
    try {
        if (chip->top) chip->top->final();  // the macro gives its memory back there
    } catch (const std::exception&) {
        // It is at its end anyway.
    }
    delete chip;
}

const char* ohm_message(const Chip* chip) { return chip->message.c_str(); }

// The operation as the ports have it; `ohm_go` runs it.
void ohm_start(Chip* chip, uint32_t operation, uint32_t address, uint32_t count, uint32_t limit) {
    auto& top = *chip->top;
    top.operation = operation;
    top.from = address;
    top.count = count;
    top.limit = limit;
    ++top.token;
}

// One slice: 0 when the operation is done, 1 when it goes on, 2 when it failed, 3 when the simulation is at its end.
int ohm_go(Chip* chip) {
    if (!chip->message.empty()) return 3;
    auto& top = *chip->top;
    try {
        top.go = !top.go;
        top.eval();
    } catch (const std::exception& error) {
        chip->message = error.what();
        return 3;
    }
    return top.busy ? 1 : top.failed ? 2 : 0;
}

uint32_t* ohm_buffer(Chip* chip) { return &chip->inside().ohmloop_rtl__DOT__buffer[0]; }
uint64_t* ohm_source(Chip* chip) { return &chip->inside().ohmloop_rtl__DOT__source[0]; }
uint64_t* ohm_sink(Chip* chip) { return &chip->inside().ohmloop_rtl__DOT__sink[0]; }

void ohm_pause(Chip* chip, uint32_t source, uint32_t sink, uint32_t seed) {
    chip->top->source_pause = source;
    chip->top->sink_pause = sink;
    chip->top->seed = seed;
}
void ohm_put_source(Chip* chip, uint32_t end) { chip->top->source_end = end; }
void ohm_take_sink(Chip* chip, uint32_t begin) { chip->top->sink_begin = begin; }

uint32_t ohm_source_begin(const Chip* chip) { return chip->top->source_begin; }
uint32_t ohm_sink_end(const Chip* chip) { return chip->top->sink_end; }
uint32_t ohm_objects(const Chip* chip) { return chip->top->objects; }
uint64_t ohm_clocks(const Chip* chip) { return chip->top->clocks; }
uint64_t ohm_leapt(const Chip* chip) { return chip->top->leapt; }
uint32_t ohm_violations(Chip* chip) {
    return chip->inside().ohmloop_rtl__DOT__chip__DOT__macro__DOT__contract__DOT__violations;
}

}
