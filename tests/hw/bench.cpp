// Clock for the benches of one build: runs until each has printed its line.
#include <memory>

#include "Vbenches.h"
#include "verilated.h"

int main(int argc, char **argv) {
    auto context = std::make_unique<VerilatedContext>();
    context->commandArgs(argc, argv);
    auto top = std::make_unique<Vbenches>(context.get());
    for (unsigned long cycle = 0; cycle < 5'000'000 && !top->done; ++cycle) {
        top->aclk = 0;
        top->eval();
        top->aclk = 1;
        top->eval();
    }
    top->final();
    return top->done ? 0 : 1;
}
