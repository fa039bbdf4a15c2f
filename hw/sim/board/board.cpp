// The processing system of a simulated board: masters M_AXI_GP0, answers S_AXI_HP0, beside a Verilated
// model of the whole programmable logic (board.sv). Cycles pass only while a request is served.
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

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "Vboard.h"
#include "verilated.h"

namespace {

enum Op : uint32_t { RESET, READ, WRITE, RUN, TIMING, FAULT, ANSWER, WIDTH, ALLOW, FORBID, STATS };
enum Fault : uint32_t { NONE, READS, WRITES, HP_DEAD, GP_DEAD };
constexpr int32_t OKAY = 0, DECERR = 3, HANG = 10, BROKEN = 11;
constexpr uint64_t LIMIT = 4096;      // cycles after which an access of GP0 counts as unanswered
constexpr size_t ACCEPTS = 8;         // bursts of each direction that HP0 takes before it answers
constexpr size_t WRITE_BUFFER = 128;  // words of HP0's write FIFO
constexpr uint32_t DDR_END = 0x20000000;  // of the board's 512 MiB
constexpr uint64_t REST = 20;         // cycles of a refresh
constexpr uint64_t JITTER = 8;        // cycles by which the latency of a read varies

[[noreturn]] void fail(const char *what) {
    std::perror(what);
    std::exit(1);
}

// A VALID must stay, with what it offers, until READY.
struct Held {
    bool waiting = false;
    uint64_t payload = 0, more = 0;

    bool broken(bool valid, bool ready, uint64_t now, uint64_t also = 0) {
        const bool bad = waiting && (!valid || now != payload || also != more);
        waiting = valid && !ready;
        payload = now, more = also;
        return bad;
    }
};

struct Burst {
    uint64_t due;
    uint32_t address, beats, id;
    int32_t answer;
    uint32_t at = 0;  // beats done
};

struct Word {
    uint64_t data;
    uint32_t strobes, id;
    bool last;
};

struct Range {
    uint32_t low, size;
    bool holds(uint32_t address, uint32_t bytes) const {
        return address >= low && uint64_t(address) + bytes <= uint64_t(low) + size;
    }
};

class Board {
  public:
    Board(uint8_t *memory, uint32_t base, uint32_t size) : memory_(memory), dram_{base, size} {
        top_->eval();
    }

    uint64_t now() const { return now_; }
    const std::string &broken() const { return broken_; }
    void reset(bool resetn) { top_->fclk_resetn = resetn, run(32); }
    void timing(uint32_t read, uint32_t write, uint32_t refresh) {
        read_latency_ = read, write_latency_ = write, refresh_ = refresh;
    }
    void fault(Fault kind, uint32_t low, uint32_t high) { fault_ = kind, low_ = low, high_ = high; }
    void answer(uint32_t kind) { answer_ = int32_t(kind); }
    void narrow(bool read, bool write) { narrow_read_ = read, narrow_write_ = write; }
    void allow(uint32_t low, uint32_t size) { allowed_.push_back({low, size}); }
    void forbid(uint32_t low) {
        for (size_t i = 0; i < allowed_.size(); ++i)
            if (allowed_[i].low == low) allowed_.erase(allowed_.begin() + long(i--));
    }
    std::vector<uint32_t> stats() const {
        return {uint32_t(read_beats_), uint32_t(write_beats_), uint32_t(first_beat_), uint32_t(last_beat_),
                top_->led};
    }
    void run(uint64_t cycles) {
        for (uint64_t i = 0; i < cycles; ++i) cycle();
    }

    int32_t read(uint32_t address, uint32_t beats, std::vector<uint32_t> &data) {
        const uint32_t id = random() & 0xFFF;
        int32_t worst = OKAY;
        top_->gp0_araddr = address, top_->gp0_arlen = beats - 1, top_->gp0_arid = id;
        top_->gp0_arvalid = 1;
        for (const uint64_t start = now_; data.size() < beats; cycle()) {
            if (now_ - start > LIMIT) return HANG;
            top_->gp0_rready = random() % 4 != 0;
            top_->eval();
            if (fault_ == GP_DEAD) continue;
            if (top_->gp0_rvalid && top_->gp0_rready) {
                if (top_->gp0_arvalid) note("GP0: RVALID before the address was taken");
                if (top_->gp0_rid != id) note("GP0: RID is not ARID");
                data.push_back(top_->gp0_rdata);
                if (top_->gp0_rlast != (data.size() == beats)) note("GP0: RLAST at the wrong beat");
                worst = std::max(worst, int32_t(top_->gp0_rresp));
            }
            taken_ar_ = top_->gp0_arvalid && top_->gp0_arready;
        }
        top_->gp0_rready = 0;
        return worst;
    }

    int32_t write(uint32_t address, const std::vector<uint32_t> &data) {
        const uint32_t id = random() & 0xFFF;
        size_t sent = 0;
        top_->gp0_awaddr = address, top_->gp0_awlen = data.size() - 1, top_->gp0_awid = id;
        top_->gp0_awvalid = 1, top_->gp0_wvalid = 1;
        for (const uint64_t start = now_;; cycle()) {
            if (now_ - start > LIMIT) return HANG;
            if (sent < data.size()) top_->gp0_wdata = data[sent], top_->gp0_wlast = sent + 1 == data.size();
            top_->gp0_bready = random() % 4 != 0;
            top_->eval();
            if (fault_ == GP_DEAD) continue;
            if (top_->gp0_bvalid && top_->gp0_bready) {
                if (top_->gp0_awvalid || sent < data.size()) note("GP0: BVALID before the last of the data");
                if (top_->gp0_bid != id) note("GP0: BID is not AWID");
                const int32_t found = top_->gp0_bresp;
                cycle();
                top_->gp0_bready = 0;
                return found;
            }
            taken_aw_ = top_->gp0_awvalid && top_->gp0_awready;
            taken_w_ = top_->gp0_wvalid && top_->gp0_wready;
            if (taken_w_ && ++sent == data.size()) last_w_ = true;
        }
    }

  private:
    uint32_t random() {
        rng_ ^= rng_ << 13, rng_ ^= rng_ >> 17, rng_ ^= rng_ << 5;
        return rng_;
    }

    // The first broken rule is kept; the next reply tells it.
    void note(const char *format, ...) {
        if (!broken_.empty()) return;
        char text[200];
        va_list arguments;
        va_start(arguments, format);
        const int used = std::snprintf(text, sizeof text, "cycle %llu: ", static_cast<unsigned long long>(now_));
        std::vsnprintf(text + used, sizeof text - size_t(used), format, arguments);
        va_end(arguments);
        broken_ = text;
    }

    // Signals are sampled as they are before the edge and driven after it.
    void cycle() {
        const bool served = fault_ != HP_DEAD;
        const bool ar = top_->hp0_arvalid && top_->hp0_arready, r = top_->hp0_rvalid && top_->hp0_rready;
        const bool aw = top_->hp0_awvalid && top_->hp0_awready, w = top_->hp0_wvalid && top_->hp0_wready;
        const bool b = top_->hp0_bvalid && top_->hp0_bready;
        check();
        if (ar) take_read();
        if (aw) take_write();
        if (w) words_.push_back({top_->hp0_wdata, top_->hp0_wstrb, top_->hp0_wid, bool(top_->hp0_wlast)});
        top_->fclk0 = 1;
        top_->eval();
        ++now_;
        if (taken_ar_) top_->gp0_arvalid = 0, taken_ar_ = false;
        if (taken_aw_) top_->gp0_awvalid = 0, taken_aw_ = false;
        if (taken_w_ && last_w_) top_->gp0_wvalid = 0, last_w_ = false;
        taken_w_ = false;
        const bool resting = refresh_ && now_ % refresh_ < REST;
        if (r) top_->hp0_rvalid = 0;
        if (!top_->hp0_rvalid && served && !resting && !reads_.empty() && now_ >= reads_.front().due) offer_read();
        if (b) top_->hp0_bvalid = 0;
        serve_write(served);
        top_->hp0_arready = served && reads_.size() < ACCEPTS;
        top_->hp0_awready = served && writes_.size() < ACCEPTS;
        top_->hp0_wready = served && words_.size() < WRITE_BUFFER;
        top_->fclk0 = 0;
        top_->eval();
    }

    void check() {
        if (!top_->fclk_resetn) {
            in_reset_ = in_reset_ < 8 ? in_reset_ + 1 : 8;
            if (in_reset_ == 8 && (top_->hp0_arvalid || top_->hp0_awvalid || top_->hp0_wvalid))
                note("HP0: VALID is high during reset");
            if (in_reset_ == 8 && (top_->gp0_rvalid || top_->gp0_bvalid)) note("GP0: VALID is high during reset");
            return;
        }
        in_reset_ = 0;
        if (!top_->tied) note("PS7: an input that must be tied is not, or a port has another clock");
        if (ar_.broken(top_->hp0_arvalid, top_->hp0_arready, address(top_->hp0_araddr, top_->hp0_arlen)))
            note("HP0: AR changed while it waited");
        if (aw_.broken(top_->hp0_awvalid, top_->hp0_awready, address(top_->hp0_awaddr, top_->hp0_awlen)))
            note("HP0: AW changed while it waited");
        if (w_.broken(top_->hp0_wvalid, top_->hp0_wready, top_->hp0_wdata,
                      uint64_t(top_->hp0_wstrb) << 1 | top_->hp0_wlast))
            note("HP0: W changed while it waited");
        if (gp_r_.broken(top_->gp0_rvalid, top_->gp0_rready,
                         uint64_t(top_->gp0_rid) << 32 | top_->gp0_rdata, top_->gp0_rresp))
            note("GP0: R changed while it waited");
        if (gp_b_.broken(top_->gp0_bvalid, top_->gp0_bready, uint64_t(top_->gp0_bid) << 2 | top_->gp0_bresp))
            note("GP0: B changed while it waited");
    }

    static uint64_t address(uint32_t at, uint32_t length) { return uint64_t(at) << 4 | length; }

    Burst burst(const char *name, uint32_t at, uint32_t length, uint32_t size, uint32_t kind, Fault failing) {
        const uint32_t bytes = 8 * (length + 1);
        if (size != 3) note("HP0: %sSIZE is %u, not 3", name, size);
        if (kind != 1) note("HP0: %sBURST is %u, not INCR", name, kind);
        if (at % 8) note("HP0: %sADDR 0x%08x is no multiple of 8", name, at);
        if (at / 4096 != (at + bytes - 1) / 4096) note("HP0: a burst at 0x%08x crosses 4 KiB", at);
        Burst found{0, at, length + 1, 0, OKAY};
        if (fault_ == failing && at + bytes > low_ && at < high_) found.answer = answer_;
        if (!dram_.holds(at, bytes)) {
            found.answer = DECERR;  // nothing is there, or the memory of programs and the kernel
            if (at < DDR_END) note("memory: %sADDR 0x%08x, which no buffer holds", name, at);
        }
        return found;
    }

    bool allowed(uint32_t at, uint32_t bytes) const {
        for (const Range &range : allowed_)
            if (range.holds(at, bytes)) return true;
        return false;
    }

    void take_read() {
        Burst found = burst("AR", top_->hp0_araddr, top_->hp0_arlen, top_->hp0_arsize, top_->hp0_arburst, READS);
        found.id = top_->hp0_arid;
        found.due = now_ + read_latency_ + random() % JITTER;
        if (found.answer == OKAY && !allowed(found.address, 8 * found.beats))
            note("memory: read of 0x%08x, %u bytes, which no buffer holds", found.address, 8 * found.beats);
        reads_.push_back(found);
    }

    void offer_read() {
        Burst &head = reads_.front();
        uint64_t data = 0;
        if (head.answer == OKAY) std::memcpy(&data, at(head.address + 8 * head.at), 8);
        top_->hp0_rdata = narrow_read_ ? data & 0xFFFFFFFF : data;
        top_->hp0_rresp = uint8_t(head.answer), top_->hp0_rid = uint8_t(head.id);
        top_->hp0_rlast = ++head.at == head.beats;
        top_->hp0_rvalid = 1;
        if (!read_beats_++) first_beat_ = now_;
        last_beat_ = now_;
        if (head.at == head.beats) reads_.pop_front();
    }

    void take_write() {
        Burst found = burst("AW", top_->hp0_awaddr, top_->hp0_awlen, top_->hp0_awsize, top_->hp0_awburst, WRITES);
        found.id = top_->hp0_awid;
        writes_.push_back(found);
    }

    // Data goes to memory when its burst is whole; the answer follows `write_latency_` later.
    void serve_write(bool served) {
        if (!writes_.empty() && !writes_.back().due) {
            for (Burst &head : writes_) {
                if (head.due) continue;
                if (words_.size() < head.beats) break;
                store(head);
                head.due = now_ + write_latency_;
            }
        }
        if (top_->hp0_bvalid || !served || writes_.empty()) return;
        const Burst &head = writes_.front();
        if (!head.due || now_ < head.due) return;
        top_->hp0_bvalid = 1;
        top_->hp0_bresp = uint8_t(head.answer), top_->hp0_bid = uint8_t(head.id);
        writes_.pop_front();
    }

    void store(const Burst &head) {
        for (uint32_t beat = 0; beat < head.beats; ++beat) {
            const Word word = words_.front();
            words_.pop_front();
            ++write_beats_;
            if (word.id != head.id) note("HP0: WID is not AWID");
            if (word.last != (beat + 1 == head.beats)) note("HP0: WLAST at the wrong beat");
            if (head.answer != OKAY) continue;
            for (uint32_t byte = 0; byte < (narrow_write_ ? 4u : 8u); ++byte) {
                if (!(word.strobes >> byte & 1)) continue;
                const uint32_t to = head.address + 8 * beat + byte;
                if (allowed(to, 1))
                    *at(to) = uint8_t(word.data >> 8 * byte);
                else
                    note("memory: write to 0x%08x, which no buffer holds", to);
            }
        }
    }

    uint8_t *at(uint32_t address) const { return memory_ + (address - dram_.low); }

    std::unique_ptr<Vboard> top_ = std::make_unique<Vboard>();
    uint8_t *memory_;
    Range dram_;
    std::vector<Range> allowed_;
    std::deque<Burst> reads_, writes_;
    std::deque<Word> words_;
    Held ar_, aw_, w_, gp_r_, gp_b_;
    std::string broken_;
    uint64_t now_ = 0, read_latency_ = 40, write_latency_ = 20, refresh_ = 780;
    uint64_t read_beats_ = 0, write_beats_ = 0, first_beat_ = 0, last_beat_ = 0;
    uint32_t rng_ = 0x2545F491, low_ = 0, high_ = 0;
    int32_t answer_ = 2;
    int in_reset_ = 0;
    Fault fault_ = NONE;
    bool narrow_read_ = false, narrow_write_ = false;
    bool taken_ar_ = false, taken_aw_ = false, taken_w_ = false, last_w_ = false;
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
            case TIMING: board.timing(a, b, c); break;
            case FAULT: board.fault(Fault(a), b, c); break;
            case ANSWER: board.answer(a); break;
            case WIDTH: board.narrow(a, b); break;
            case ALLOW: board.allow(a, b); break;
            case FORBID: board.forbid(a); break;
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
    Board board(static_cast<uint8_t *>(memory), base, size);
    serve(board);
    return 0;
}
