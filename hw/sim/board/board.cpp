// The processing system of a simulated board: masters M_AXI_GP0, answers S_AXI_HP0 (hp0.hpp), beside a
// Verilated model of the whole programmable logic (board.sv). Cycles pass only while a request is served.
//
//   board DRAM_FILE BASE SIZE     (numbers in decimal; the file is mapped, so the caller sees it too)
//
// Requests on stdin, each 4 words of 32 bits (op, a, b, c), WRITE followed by b words of data; replies on
// stdout: status, number of words that follow, cycle (64 bits), words. End of stdin ends the program.
//   RESET a            FCLKRESETN = a
//   READ a b c         b words from address a (one burst, b <= 16), then c cycles pass
//   WRITE a b c        alike
//   RUN a              a cycles
//   TIMING a b c       cycles: read latency, write latency, between refreshes (REST cycles each)
//   FAULT a b c        a: 0 none, 1 reads, 2 writes of addresses b .. c-1 get the answer set by ANSWER, 3 HP0
//                      is dead, 4 GP0 is dead (its slave's READY and VALID are not seen)
//   ANSWER a           2 SLVERR, 3 DECERR
//   WIDTH a b          1: reads, writes of HP0 use 32 bits only
//   ALLOW a b          addresses a .. a+b-1 belong to a buffer; FORBID a: no longer
//   STATS              words: beats read, beats written, cycles of first and last beat read, LEDs
// Status: 0 OKAY, 2 SLVERR, 3 DECERR, 10 no answer for LIMIT cycles (a CPU would hang for ever),
// 11 a rule was broken: the words are text.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "Vboard.h"
#include "hp0.hpp"
#include "rules.hpp"
#include "verilated.h"

namespace {

enum Op : uint32_t { RESET, READ, WRITE, RUN, TIMING, FAULT, ANSWER, WIDTH, ALLOW, FORBID, STATS };
constexpr uint32_t GP0_DEAD = Hp0::DEAD + 1;  // the faults after those of HP0
constexpr int32_t HANG = 10, BROKEN = 11;
constexpr uint64_t LIMIT = 4096;  // cycles after which an access of GP0 counts as unanswered

[[noreturn]] void fail(const char *what) {
    std::perror(what);
    std::exit(1);
}

class Board {
  public:
    Board(uint8_t *memory, Range dram) : hp0(top_, clock_, note_, random_, memory, dram) {
        top_.gp0_awsize = top_.gp0_arsize = 2;    // words
        top_.gp0_awburst = top_.gp0_arburst = 1;  // INCR
        top_.gp0_wstrb = 0xF;
        top_.eval();
    }

    uint64_t now() const { return clock_.now; }
    const std::string &broken() const { return note_.text(); }
    void reset(bool resetn) { top_.fclk_resetn = resetn, run(32); }
    void fault(uint32_t kind, uint32_t low, uint32_t high) {
        gp0_dead_ = kind == GP0_DEAD;
        hp0.fault(gp0_dead_ ? Hp0::NONE : Hp0::Fault(kind), low, high);
    }
    std::vector<uint32_t> stats() const {
        std::vector<uint32_t> found = hp0.stats();
        found.push_back(top_.led);
        return found;
    }
    void run(uint64_t cycles) {
        for (uint64_t i = 0; i < cycles; ++i) cycle();
    }

    int32_t read(uint32_t address, uint32_t beats, std::vector<uint32_t> &data) {
        const uint32_t id = random_() & 0xFFF;
        int32_t worst = OKAY;
        top_.gp0_araddr = address, top_.gp0_arlen = beats - 1, top_.gp0_arid = id;
        top_.gp0_arvalid = 1;
        for (const uint64_t start = clock_.now; data.size() < beats; cycle()) {
            if (clock_.now - start > LIMIT) return HANG;
            top_.gp0_rready = random_() % 4 != 0;
            top_.eval();
            if (gp0_dead_) continue;
            if (top_.gp0_rvalid && top_.gp0_rready) {
                if (top_.gp0_arvalid) note_("GP0: RVALID before the address was taken");
                if (top_.gp0_rid != id) note_("GP0: RID is not ARID");
                data.push_back(top_.gp0_rdata);
                if (top_.gp0_rlast != (data.size() == beats)) note_("GP0: RLAST at the wrong beat");
                worst = std::max(worst, int32_t(top_.gp0_rresp));
            }
            taken_ar_ = top_.gp0_arvalid && top_.gp0_arready;
        }
        top_.gp0_rready = 0;
        return worst;
    }

    int32_t write(uint32_t address, const std::vector<uint32_t> &data) {
        const uint32_t id = random_() & 0xFFF;
        size_t sent = 0;
        top_.gp0_awaddr = address, top_.gp0_awlen = data.size() - 1, top_.gp0_awid = id;
        top_.gp0_awvalid = 1, top_.gp0_wvalid = 1;
        for (const uint64_t start = clock_.now;; cycle()) {
            if (clock_.now - start > LIMIT) return HANG;
            if (sent < data.size()) top_.gp0_wdata = data[sent], top_.gp0_wlast = sent + 1 == data.size();
            top_.gp0_bready = random_() % 4 != 0;
            top_.eval();
            if (gp0_dead_) continue;
            if (top_.gp0_bvalid && top_.gp0_bready) {
                if (top_.gp0_awvalid || sent < data.size()) note_("GP0: BVALID before the last of the data");
                if (top_.gp0_bid != id) note_("GP0: BID is not AWID");
                const int32_t found = top_.gp0_bresp;
                cycle();
                top_.gp0_bready = 0;
                return found;
            }
            taken_aw_ = top_.gp0_awvalid && top_.gp0_awready;
            taken_w_ = top_.gp0_wvalid && top_.gp0_wready;
            if (taken_w_ && ++sent == data.size()) last_w_ = true;
        }
    }

  private:
    Vboard top_;
    Clock clock_;
    Notes note_{clock_};
    Random random_;
    Held gp0_r_, gp0_b_;
    int in_reset_ = 0;
    bool gp0_dead_ = false;
    bool taken_ar_ = false, taken_aw_ = false, taken_w_ = false, last_w_ = false;

    // Signals are sampled as they are before the edge and driven after it.
    void cycle() {
        check();
        hp0.sample();
        top_.fclk0 = 1;
        top_.eval();
        ++clock_.now;
        if (taken_ar_) top_.gp0_arvalid = 0;
        if (taken_aw_) top_.gp0_awvalid = 0;
        if (taken_w_ && last_w_) top_.gp0_wvalid = 0, last_w_ = false;
        taken_ar_ = taken_aw_ = taken_w_ = false;
        hp0.drive();
        top_.fclk0 = 0;
        top_.eval();
    }

    void check() {
        if (!top_.fclk_resetn) {
            in_reset_ = std::min(in_reset_ + 1, 8);
            if (in_reset_ < 8) return;
            hp0.check_in_reset();
            if (top_.gp0_rvalid || top_.gp0_bvalid) note_("GP0: VALID is high during reset");
            return;
        }
        in_reset_ = 0;
        if (!top_.tied) note_("PS7: an input that must be tied is not, or a port has another clock");
        hp0.check();
        if (gp0_r_.broken(top_.gp0_rvalid, top_.gp0_rready, uint64_t(top_.gp0_rid) << 32 | top_.gp0_rdata,
                          uint64_t(top_.gp0_rresp) << 1 | top_.gp0_rlast))
            note_("GP0: R changed while it waited");
        if (gp0_b_.broken(top_.gp0_bvalid, top_.gp0_bready, uint64_t(top_.gp0_bid) << 2 | top_.gp0_bresp))
            note_("GP0: B changed while it waited");
    }

  public:
    Hp0 hp0;  // after all that it refers to
};

bool receive(void *to, size_t bytes) { return std::fread(to, 1, bytes, stdin) == bytes; }

void reply(const Board &board, int32_t status, std::vector<uint32_t> words) {
    if (!board.broken().empty()) {
        status = BROKEN;
        words.assign(board.broken().size() / 4 + 1, 0);
        std::memcpy(words.data(), board.broken().data(), board.broken().size());
    }
    const uint64_t now = board.now();
    const uint32_t head[] = {uint32_t(status), uint32_t(words.size()), uint32_t(now), uint32_t(now >> 32)};
    std::fwrite(head, 4, 4, stdout);
    std::fwrite(words.data(), 4, words.size(), stdout);
    std::fflush(stdout);
}

void serve(Board &board) {
    uint32_t request[4];
    while (receive(request, sizeof request)) {
        const auto [op, a, b, c] = request;
        int32_t status = OKAY;
        std::vector<uint32_t> words;
        switch (op) {
            case RESET: board.reset(a); break;
            case READ:
                status = board.read(a, b, words);
                board.run(c);
                break;
            case WRITE: {
                std::vector<uint32_t> data(b);
                if (!receive(data.data(), 4 * data.size())) return;
                status = board.write(a, data);
                board.run(c);
                break;
            }
            case RUN: board.run(a); break;
            case TIMING: board.hp0.timing(a, b, c); break;
            case FAULT: board.fault(a, b, c); break;
            case ANSWER: board.hp0.answer(a); break;
            case WIDTH: board.hp0.narrow(a, b); break;
            case ALLOW: board.hp0.allow(a, b); break;
            case FORBID: board.hp0.forbid(a); break;
            case STATS: words = board.stats(); break;
            default: std::fprintf(stderr, "unknown request %u\n", op); std::exit(1);
        }
        reply(board, status, words);
    }
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: board DRAM_FILE BASE SIZE\n");
        return 2;
    }
    const uint32_t base = uint32_t(std::strtoul(argv[2], nullptr, 10));
    const uint32_t size = uint32_t(std::strtoul(argv[3], nullptr, 10));
    const int file = open(argv[1], O_RDWR);
    if (file < 0) fail(argv[1]);
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) fail("mmap");
    Verilated::commandArgs(argc, argv);
    Board board(static_cast<uint8_t *>(memory), {base, size});
    serve(board);
    return 0;
}
