// Times the tasks of macro_speed.sv: +settle=CLOCKS +bandwidth=SETTING +repeats=COUNT. Prints the shortest time
// of each task in seconds and the clocks of a solve; the model adds its codes.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "Vmacro_speed.h"
#include "verilated.h"

static double task(Vmacro_speed &top, bool solving)
{
    auto begun = std::chrono::steady_clock::now();
    top.solving = solving;
    top.go = !top.go;
    top.eval();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

static int number(VerilatedContext &context, const char *name)
{
    const char *found = context.commandArgsPlusMatch(name);
    return std::atoi(found + std::strlen(name) + 2);
}

int main(int argc, char **argv)
{
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vmacro_speed top{&context};
    top.settle = number(context, "settle");
    top.bandwidth = number(context, "bandwidth");
    int repeats = number(context, "repeats");
    top.eval();
    double tables = task(top, false), solve = task(top, true);
    for (int i = 0; i < repeats; i++) tables = std::min(tables, task(top, false));
    task(top, true);
    unsigned before = top.clocks;
    for (int i = 0; i < repeats; i++) solve = std::min(solve, task(top, true));
    std::printf("%.9f %.9f %u ", tables, solve, (top.clocks - before)/repeats);
    std::fflush(stdout);
    top.final();
}
