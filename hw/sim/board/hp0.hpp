// S_AXI_HP0 with DRAM behind it, as a master in the programmable logic sees them.
//
// Reads are answered in order, `timing` after their address at the earliest; a write reaches memory when
// its burst is whole. Of DRAM only the buffers that are allowed may be touched, by any other access a
// rule is broken; an address outside DRAM is answered with DECERR.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vboard.h"
#include "rules.hpp"

constexpr int32_t OKAY = 0, DECERR = 3;

struct Range {
    uint32_t low, size;
    bool holds(uint32_t address, uint32_t bytes) const {
        return address >= low && uint64_t(address) + bytes <= uint64_t(low) + size;
    }
};

class Hp0 {
  public:
    enum Fault : uint32_t { NONE, READS, WRITES, DEAD };

    Hp0(Vboard &top, const Clock &clock, Notes &note, Random &random, uint8_t *memory, Range dram)
        : top_(top), clock_(clock), note_(note), random_(random), memory_(memory), dram_(dram) {}

    void timing(uint32_t read, uint32_t write, uint32_t refresh) {
        read_latency_ = read, write_latency_ = write, refresh_ = refresh;
    }
    void fault(Fault kind, uint32_t low, uint32_t high) { fault_ = kind, low_ = low, high_ = high; }
    void answer(uint32_t kind) { answer_ = int32_t(kind); }
    void narrow(bool read, bool write) { narrow_read_ = read, narrow_write_ = write; }
    void allow(uint32_t low, uint32_t size) { allowed_.push_back({low, size}); }
    void forbid(uint32_t low) {
        const auto gone = [low](const Range &range) { return range.low == low; };
        allowed_.erase(std::remove_if(allowed_.begin(), allowed_.end(), gone), allowed_.end());
    }
    // Beats read, beats written, cycles of the first and the last beat read.
    std::vector<uint32_t> stats() const {
        return {uint32_t(read_beats_), uint32_t(write_beats_), uint32_t(first_beat_), uint32_t(last_beat_)};
    }

    // Before a clock edge: what passes at it.
    void sample() {
        r_ = top_.hp0_rvalid && top_.hp0_rready;
        b_ = top_.hp0_bvalid && top_.hp0_bready;
        if (top_.hp0_arvalid && top_.hp0_arready) take_read();
        if (top_.hp0_awvalid && top_.hp0_awready) take_write();
        if (top_.hp0_wvalid && top_.hp0_wready)
            words_.push_back({top_.hp0_wdata, top_.hp0_wstrb, top_.hp0_wid, bool(top_.hp0_wlast)});
    }

    // After it: what is offered and taken next.
    void drive() {
        const bool served = fault_ != DEAD;
        const bool resting = refresh_ && clock_.now % refresh_ < REST;
        if (r_) top_.hp0_rvalid = 0;
        if (b_) top_.hp0_bvalid = 0;
        if (!top_.hp0_rvalid && served && !resting && !reads_.empty() && clock_.now >= reads_.front().due)
            offer_read();
        store_writes();
        if (!top_.hp0_bvalid && served) offer_answer();
        top_.hp0_arready = served && reads_.size() < ACCEPTS;
        top_.hp0_awready = served && writes_.size() < ACCEPTS;
        top_.hp0_wready = served && words_.size() < WRITE_BUFFER;
    }

    // In every cycle without reset.
    void check() {
        if (ar_.broken(top_.hp0_arvalid, top_.hp0_arready, joined(top_.hp0_araddr, top_.hp0_arlen)))
            note_("HP0: AR changed while it waited");
        if (aw_.broken(top_.hp0_awvalid, top_.hp0_awready, joined(top_.hp0_awaddr, top_.hp0_awlen)))
            note_("HP0: AW changed while it waited");
        if (w_.broken(top_.hp0_wvalid, top_.hp0_wready, top_.hp0_wdata,
                      uint64_t(top_.hp0_wstrb) << 1 | top_.hp0_wlast))
            note_("HP0: W changed while it waited");
    }

    void check_in_reset() {
        if (top_.hp0_arvalid || top_.hp0_awvalid || top_.hp0_wvalid) note_("HP0: VALID is high during reset");
    }

  private:
    static constexpr size_t ACCEPTS = 8;         // bursts of each direction that wait
    static constexpr size_t WRITE_BUFFER = 128;  // words of the write FIFO
    static constexpr uint32_t DDR_END = 0x20000000;  // of the board's 512 MiB
    static constexpr uint64_t REST = 20;         // cycles of a refresh
    static constexpr uint64_t JITTER = 8;        // cycles by which the latency of a read varies

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

    static uint64_t joined(uint32_t at, uint32_t length) { return uint64_t(at) << 4 | length; }

    Burst burst(const char *name, uint32_t at, uint32_t length, uint32_t size, uint32_t kind, Fault failing) {
        const uint32_t bytes = 8 * (length + 1);
        if (size != 3) note_("HP0: %sSIZE is %u, not 3", name, size);
        if (kind != 1) note_("HP0: %sBURST is %u, not INCR", name, kind);
        if (at % 8) note_("HP0: %sADDR 0x%08x is no multiple of 8", name, at);
        if (at / 4096 != (at + bytes - 1) / 4096) note_("HP0: a burst at 0x%08x crosses 4 KiB", at);
        Burst found{0, at, length + 1, 0, OKAY};
        if (fault_ == failing && at + bytes > low_ && at < high_) found.answer = answer_;
        if (!dram_.holds(at, bytes)) {
            found.answer = DECERR;  // nothing is there, or the memory of programs and the kernel
            if (at < DDR_END) note_("memory: %sADDR 0x%08x, which no buffer holds", name, at);
        }
        return found;
    }

    bool allowed(uint32_t at, uint32_t bytes) const {
        const auto holds = [=](const Range &range) { return range.holds(at, bytes); };
        return std::any_of(allowed_.begin(), allowed_.end(), holds);
    }

    void take_read() {
        Burst found = burst("AR", top_.hp0_araddr, top_.hp0_arlen, top_.hp0_arsize, top_.hp0_arburst, READS);
        found.id = top_.hp0_arid;
        found.due = clock_.now + read_latency_ + random_() % JITTER;
        if (found.answer == OKAY && !allowed(found.address, 8 * found.beats))
            note_("memory: read of 0x%08x, %u bytes, which no buffer holds", found.address, 8 * found.beats);
        reads_.push_back(found);
    }

    void offer_read() {
        Burst &head = reads_.front();
        uint64_t data = 0;
        if (head.answer == OKAY) std::memcpy(&data, place(head.address + 8 * head.at), 8);
        top_.hp0_rdata = narrow_read_ ? data & 0xFFFFFFFF : data;
        top_.hp0_rresp = uint8_t(head.answer), top_.hp0_rid = uint8_t(head.id);
        top_.hp0_rlast = ++head.at == head.beats;
        top_.hp0_rvalid = 1;
        if (!read_beats_++) first_beat_ = clock_.now;
        last_beat_ = clock_.now;
        if (head.at == head.beats) reads_.pop_front();
    }

    void take_write() {
        Burst found = burst("AW", top_.hp0_awaddr, top_.hp0_awlen, top_.hp0_awsize, top_.hp0_awburst, WRITES);
        found.id = top_.hp0_awid;
        writes_.push_back(found);
    }

    // Data goes to memory when its burst is whole; the answer follows `write_latency_` later.
    void store_writes() {
        for (Burst &head : writes_) {
            if (head.due) continue;
            if (words_.size() < head.beats) break;
            store(head);
            head.due = clock_.now + write_latency_;
        }
    }

    void offer_answer() {
        if (writes_.empty()) return;
        const Burst &head = writes_.front();
        if (!head.due || clock_.now < head.due) return;
        top_.hp0_bvalid = 1;
        top_.hp0_bresp = uint8_t(head.answer), top_.hp0_bid = uint8_t(head.id);
        writes_.pop_front();
    }

    void store(const Burst &head) {
        for (uint32_t beat = 0; beat < head.beats; ++beat) {
            const Word word = words_.front();
            words_.pop_front();
            ++write_beats_;
            if (word.id != head.id) note_("HP0: WID is not AWID");
            if (word.last != (beat + 1 == head.beats)) note_("HP0: WLAST at the wrong beat");
            if (head.answer != OKAY) continue;
            for (uint32_t byte = 0; byte < (narrow_write_ ? 4u : 8u); ++byte) {
                if (!(word.strobes >> byte & 1)) continue;
                const uint32_t to = head.address + 8 * beat + byte;
                if (allowed(to, 1))
                    *place(to) = uint8_t(word.data >> 8 * byte);
                else
                    note_("memory: write to 0x%08x, which no buffer holds", to);
            }
        }
    }

    uint8_t *place(uint32_t address) const { return memory_ + (address - dram_.low); }

    Vboard &top_;
    const Clock &clock_;
    Notes &note_;
    Random &random_;
    uint8_t *memory_;
    Range dram_;
    std::vector<Range> allowed_;
    std::deque<Burst> reads_, writes_;
    std::deque<Word> words_;
    Held ar_, aw_, w_;
    uint64_t read_latency_ = 40, write_latency_ = 20, refresh_ = 780;
    uint64_t read_beats_ = 0, write_beats_ = 0, first_beat_ = 0, last_beat_ = 0;
    uint32_t low_ = 0, high_ = 0;
    int32_t answer_ = 2;
    Fault fault_ = NONE;
    bool narrow_read_ = false, narrow_write_ = false;
    bool r_ = false, b_ = false;  // a beat, an answer passed
};
