// Drives a verilated top.sv with images from a file and compares every stream with the reference.
//
// Usage: simulate IMAGES COUNT EXPECTED CHECKED OUTPUTS RESULT [--stall SEED | --pace CYCLES]
//
//   IMAGES    raw elements of COUNT images, little-endian, 1 byte each if an input element has at
//             most 8 bits, else 4; packed into beats here, element by element
//   EXPECTED  int32 elements of the first CHECKED images: for each image every tapped tensor
//   OUTPUTS   written: int32 elements of the output stream, for every image that came out
//   RESULT    written: JSON, see `report`
//
// Without --stall the input is always valid and the output always ready, for the figures of speed.
// With it both sides stall at random, from the given seed, in phases of different density, and the
// data lines carry noise while the input is not valid. With --pace each image is offered so many
// cycles after the one before, not earlier.
//
// A cycle: set the inputs, settle with the clock low, look at the handshakes that the coming edge
// completes, raise the clock. The run ends when all images came out and the design then stays
// quiet, or when no beat moves anywhere for IDLE_LIMIT cycles.
//
// taps.h is generated for each design (flow/rtl/verilate.py): the constants, the tables of taps and
// units, and `visit_taps`, which hands every stream's handshake and data to a functor.

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "Vtop.h"
#include "Vtop___024root.h"
#include "verilated.h"

// A stream between two instances of top.sv; it carries a tensor of the graph.
struct Tap {
    const char *net;
    int bits;        // of one element
    bool is_signed;  // elements are two's complement
    int parallel;    // elements a beat
    int beats;       // an image
    int offset;      // of the tensor in one image of EXPECTED
};

// An instance of top.sv between two taps.
struct Unit {
    const char *name;
    int source;
    int target;
};

#include "taps.h"

namespace {

constexpr int QUIET_CYCLES = 200;  // watched after the last image, for beats too many
constexpr size_t INPUT_BYTES = TAPS[0].bits <= 8 ? 1 : 4;
constexpr int IMAGE_SIZE = TAPS[0].parallel * TAPS[0].beats;

[[noreturn]] void fail(const std::string &message) {
    std::fprintf(stderr, "simulate: %s\n", message.c_str());
    std::exit(3);
}

template <class T>
std::vector<T> read_file(const char *path, size_t count) {
    std::vector<T> data(count);
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char *>(data.data()), std::streamsize(count * sizeof(T)));
    if (!file) fail(std::string(path) + ": cannot read " + std::to_string(count) + " elements");
    return data;
}

// --- ports and nets of any width as 32-bit words, least significant first ----------------------

template <class T>
const uint32_t *words_of(const T &value, uint32_t *scratch) {
    if constexpr (std::is_integral_v<T>) {
        scratch[0] = uint32_t(value);
        scratch[1] = uint32_t(uint64_t(value) >> 32);
        return scratch;
    } else {
        return value.data();
    }
}

template <class T>
void set_words(T &port, const std::vector<uint32_t> &words) {
    if constexpr (std::is_integral_v<T>) {
        uint64_t value = words[0];
        if (words.size() > 1) value |= uint64_t(words[1]) << 32;
        port = T(value);
    } else {
        std::copy(words.begin(), words.end(), port.data());
    }
}

// Bits [position, position + bits) of the words, for bits <= 32.
uint32_t field(const uint32_t *words, int position, int bits) {
    uint64_t value = words[position / 32];
    if (position % 32 + bits > 32) value |= uint64_t(words[position / 32 + 1]) << 32;
    return uint32_t((value >> (position % 32)) & ((uint64_t(1) << bits) - 1));
}

int32_t element(const Tap &tap, const uint32_t *words, int index) {
    const uint32_t raw = field(words, index * tap.bits, tap.bits);
    if (tap.is_signed && tap.bits < 32 && (raw >> (tap.bits - 1))) {
        return int32_t(raw - (uint32_t(1) << tap.bits));
    }
    return int32_t(raw);
}

// --- stalls -------------------------------------------------------------------------------------

// Says each cycle whether its side goes on; in phases, from rarely to always.
class Staller {
  public:
    Staller(bool active, uint64_t seed) : active_(active), random_(seed) {}

    bool go() {
        if (!active_) return true;
        if (left_ == 0) {
            constexpr uint32_t densities[] = {0x10000000, 0x80000000, 0xe0000000, 0xffffffff};
            density_ = densities[random_() % 4];
            left_ = 1 + int(random_() % 96);
        }
        --left_;
        return uint32_t(random_()) <= density_;
    }

    uint32_t noise() { return uint32_t(random_()); }

  private:
    bool active_;
    std::mt19937_64 random_;
    uint32_t density_ = 0;
    int left_ = 0;
};

// --- what is seen on one stream -----------------------------------------------------------------

struct Wrong {
    bool seen = false;
    uint64_t image = 0;
    int element = 0;
    int32_t got = 0, expected = 0;
};

class Monitor {
  public:
    Monitor(const Tap &tap, const std::vector<int32_t> &expected, uint64_t checked)
        : tap_(tap), expected_(expected), checked_(checked) {}

    // One cycle; true if a beat moves at the coming clock edge.
    bool cycle(bool valid, bool ready, const uint32_t *data) {
        waiting = valid && !ready;
        starving = !valid && ready;
        const size_t words = size_t(tap_.bits * tap_.parallel + 31) / 32;
        if (pending_ && (!valid || std::memcmp(held_.data(), data, words * 4))) ++unstable;
        pending_ = waiting;
        if (waiting) held_.assign(data, data + words);
        if (!(valid && ready)) return false;
        const uint64_t image = beats / uint64_t(tap_.beats);
        const int first = int(beats % uint64_t(tap_.beats)) * tap_.parallel;
        if (image < checked_) {
            const int32_t *row = expected_.data() + image * EXPECTED_SIZE + tap_.offset + first;
            for (int i = 0; i < tap_.parallel; ++i) {
                const int32_t got = element(tap_, data, i);
                if (got != row[i]) {
                    ++mismatches;
                    if (!wrong.seen) wrong = {true, image, first + i, got, row[i]};
                }
            }
        }
        ++beats;
        return true;
    }

    uint64_t beats = 0, mismatches = 0, unstable = 0;
    bool waiting = false, starving = false;  // in this cycle
    Wrong wrong;

  private:
    const Tap &tap_;
    const std::vector<int32_t> &expected_;
    uint64_t checked_;
    bool pending_ = false;
    std::vector<uint32_t> held_;
};

// --- the run ------------------------------------------------------------------------------------

class Simulation {
  public:
    Simulation(std::vector<uint8_t> images, uint64_t count, std::vector<int32_t> expected,
               uint64_t checked, bool stall, uint64_t seed, uint64_t pace)
        : images_(std::move(images)), count_(count), expected_(std::move(expected)),
          source_(stall, seed), sink_(stall, seed + 0x9e3779b97f4a7c15), stall_(stall),
          pace_(pace),
          input_(size_t(IN_BITS + 31) / 32) {
        for (const Tap &tap : TAPS) monitors_.emplace_back(tap, expected_, checked);
        idle_.assign(std::size(UNITS), 0);
        held_.assign(std::size(UNITS), 0);
        idle_at_start_ = idle_at_end_ = idle_;
    }

    void run() {
        reset();
        uint64_t still = 0;
        while (true) {
            const bool moved = cycle();
            still = moved ? 0 : still + 1;
            if (done() && still >= QUIET_CYCLES) return;
            if (still > IDLE_LIMIT) {
                hung_ = true;
                return;
            }
        }
    }

    void write_outputs(const char *path) const {
        std::ofstream file(path, std::ios::binary);
        const size_t bytes = outputs_.size() * sizeof(int32_t);
        file.write(reinterpret_cast<const char *>(outputs_.data()), std::streamsize(bytes));
        if (!file) fail(std::string(path) + ": cannot write");
    }

    // {"cycles", "images": came out, "extra_beats": after the last, "hung", "first_input",
    //  "output_cycles": of each image's last beat, "taps": [{"net", "beats", "unstable", "mismatches", "wrong"}],
    //  "units": [{"name", "idle": cycles, between the last beats of images `window_start` and
    //             `window_end`, in which it waited for input or for its output to be taken,
    //             "held": most beats in it that had not left, of a unit with as many out as in}]}
    void report(const char *path) const {
        std::FILE *file = std::fopen(path, "w");
        if (!file) fail(std::string(path) + ": cannot write");
        const uint64_t out_beats = monitors_.back().beats;
        const uint64_t wanted = count_ * uint64_t(TAPS[TAP_COUNT - 1].beats);
        std::fprintf(file, "{\"cycles\": %llu, \"images\": %zu, \"extra_beats\": %llu, ",
                     ull(now_), output_cycles_.size(),
                     ull(out_beats > wanted ? out_beats - wanted : 0));
        std::fprintf(file, "\"hung\": %s, \"first_input\": %llu, \"output_cycles\": [",
                     hung_ ? "true" : "false", ull(first_input_));
        for (size_t i = 0; i < output_cycles_.size(); ++i) {
            std::fprintf(file, "%s%llu", i ? ", " : "", ull(output_cycles_[i]));
        }
        std::fprintf(file, "],\n\"window\": [%llu, %llu],\n\"taps\": [",
                     ull(window_start()), ull(window_end()));
        for (int k = 0; k < TAP_COUNT; ++k) {
            const Monitor &m = monitors_[size_t(k)];
            std::fprintf(file,
                         "%s\n {\"net\": \"%s\", \"beats\": %llu, \"unstable\": %llu, "
                         "\"mismatches\": %llu",
                         k ? "," : "", TAPS[k].net, ull(m.beats), ull(m.unstable),
                         ull(m.mismatches));
            if (m.wrong.seen) {
                std::fprintf(file,
                             ", \"wrong\": {\"image\": %llu, \"element\": %d, \"got\": %d, "
                             "\"expected\": %d}",
                             ull(m.wrong.image), m.wrong.element, m.wrong.got, m.wrong.expected);
            }
            std::fprintf(file, "}");
        }
        std::fprintf(file, "],\n\"units\": [");
        for (size_t k = 0; k < idle_.size(); ++k) {
            std::fprintf(file, "%s\n {\"name\": \"%s\", \"idle\": %llu, \"held\": %llu}",
                         k ? "," : "", UNITS[k].name, ull(idle_at_end_[k] - idle_at_start_[k]),
                         ull(held_[k]));
        }
        std::fprintf(file, "]}\n");
        if (std::fclose(file)) fail(std::string(path) + ": cannot write");
    }

  private:
    static unsigned long long ull(uint64_t value) { return value; }

    // The steady state: neither filling nor draining.
    uint64_t window_start() const { return count_ / 4; }
    uint64_t window_end() const { return count_ - 1 - count_ / 4; }

    bool done() const { return output_cycles_.size() >= count_; }

    void reset() {
        top_->aresetn = 0;
        top_->s_axis_tvalid = 0;
        top_->m_axis_tready = 0;
        set_words(top_->s_axis_tdata, input_);
        for (int i = 0; i < 8; ++i) {
            top_->aclk = 0;
            top_->eval();
            top_->aclk = 1;
            top_->eval();
        }
        top_->aresetn = 1;
    }

    // Packs the next beat: bit b of element e goes to bit e * bits + b.
    void load_beat() {
        const Tap &tap = TAPS[0];
        std::fill(input_.begin(), input_.end(), 0);
        const uint64_t start = next_beat_ * uint64_t(tap.parallel);
        for (int e = 0; e < tap.parallel; ++e) {
            uint32_t value = 0;
            std::memcpy(&value, images_.data() + (start + uint64_t(e)) * INPUT_BYTES, INPUT_BYTES);
            for (int b = 0; b < tap.bits; ++b) {
                const int position = e * tap.bits + b;
                if ((value >> b) & 1) input_[size_t(position / 32)] |= uint32_t(1) << (position % 32);
            }
        }
    }

    // What the source offers: once valid, it stays so until the beat is taken.
    void drive() {
        const bool more = next_beat_ < count_ * uint64_t(TAPS[0].beats);
        const uint64_t image_beats = uint64_t(TAPS[0].beats);
        const bool due = next_beat_ % image_beats || now_ >= next_beat_ / image_beats * pace_;
        if (!offered_ && more && due && source_.go()) {
            offered_ = true;
            load_beat();
            set_words(top_->s_axis_tdata, input_);
        } else if (!offered_ && stall_) {
            for (uint32_t &word : input_) word = source_.noise();
            if (IN_BITS % 32) input_.back() &= (uint32_t(1) << (IN_BITS % 32)) - 1;
            set_words(top_->s_axis_tdata, input_);
        }
        top_->s_axis_tvalid = offered_;
        top_->m_axis_tready = sink_.go();
    }

    // One clock cycle; true if a beat moved on any stream.
    bool cycle() {
        drive();
        top_->aclk = 0;
        top_->eval();
        bool moved = false;
        visit_taps(*top_->rootp, [&](int k, bool valid, bool ready, const auto &data) {
            uint32_t scratch[2];
            moved |= monitors_[size_t(k)].cycle(valid, ready, words_of(data, scratch));
        });
        if (top_->s_axis_tvalid && top_->s_axis_tready) {
            if (next_beat_ == 0) first_input_ = now_;
            ++next_beat_;
            offered_ = false;
        }
        if (top_->m_axis_tvalid && top_->m_axis_tready && !done()) take_output();
        for (size_t k = 0; k < idle_.size(); ++k) {
            const Monitor &in = monitors_[size_t(UNITS[k].source)];
            const Monitor &out = monitors_[size_t(UNITS[k].target)];
            idle_[k] += in.starving || out.waiting;
            const bool alike = TAPS[UNITS[k].source].beats == TAPS[UNITS[k].target].beats;
            if (alike && in.beats > out.beats) held_[k] = std::max(held_[k], in.beats - out.beats);
        }
        top_->aclk = 1;
        top_->eval();
        ++now_;
        return moved;
    }

    void take_output() {
        const Tap &tap = TAPS[TAP_COUNT - 1];
        uint32_t scratch[2];
        const uint32_t *words = words_of(top_->m_axis_tdata, scratch);
        for (int e = 0; e < tap.parallel; ++e) outputs_.push_back(element(tap, words, e));
        if (monitors_.back().beats % uint64_t(tap.beats) == 0) {
            output_cycles_.push_back(now_);
            if (output_cycles_.size() == window_start() + 1) idle_at_start_ = idle_;
            if (output_cycles_.size() == window_end() + 1) idle_at_end_ = idle_;
        }
    }

    std::vector<uint8_t> images_;
    uint64_t count_;
    std::vector<int32_t> expected_;
    Staller source_, sink_;
    bool stall_;
    uint64_t pace_;
    std::vector<uint32_t> input_;

    std::unique_ptr<Vtop> top_ = std::make_unique<Vtop>();
    std::vector<Monitor> monitors_;
    bool offered_ = false, hung_ = false;
    uint64_t next_beat_ = 0, now_ = 0, first_input_ = 0;
    std::vector<int32_t> outputs_;
    std::vector<uint64_t> output_cycles_, idle_, idle_at_start_, idle_at_end_, held_;
};

}  // namespace

int main(int argc, char **argv) {
    if (argc != 7 && argc != 9) fail("six arguments, or eight with --stall or --pace");
    const bool stall = argc == 9 && std::string(argv[7]) == "--stall";
    const uint64_t number = argc == 9 ? std::strtoull(argv[8], nullptr, 10) : 0;
    const uint64_t count = std::strtoull(argv[2], nullptr, 10);
    const uint64_t checked = std::strtoull(argv[4], nullptr, 10);
    if (count == 0) fail("no images");
    Verilated::commandArgs(argc, argv);
    Simulation simulation(
        read_file<uint8_t>(argv[1], count * uint64_t(IMAGE_SIZE) * INPUT_BYTES), count,
        read_file<int32_t>(argv[3], checked * uint64_t(EXPECTED_SIZE)), checked, stall,
        stall ? number : 0, stall ? 0 : number);
    simulation.run();
    simulation.write_outputs(argv[5]);
    simulation.report(argv[6]);
    return 0;
}
