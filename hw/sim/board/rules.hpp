// What both ports of the processing system need to check the rules of AXI.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <string>

// Cycles since power-up.
struct Clock {
    uint64_t now = 0;
};

// The first broken rule as text, with its cycle; later ones are dropped.
class Notes {
  public:
    explicit Notes(const Clock &clock) : clock_(clock) {}
    const std::string &text() const { return text_; }

    void operator()(const char *format, ...) __attribute__((format(printf, 2, 3))) {
        if (!text_.empty()) return;
        char line[200];
        va_list arguments;
        va_start(arguments, format);
        std::vsnprintf(line, sizeof line, format, arguments);
        va_end(arguments);
        text_ = "cycle " + std::to_string(clock_.now) + ": " + line;
    }

  private:
    const Clock &clock_;
    std::string text_;
};

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

// Numbers that look random and are the same in every run.
class Random {
  public:
    uint32_t operator()() {
        state_ ^= state_ << 13, state_ ^= state_ >> 17, state_ ^= state_ << 5;
        return state_;
    }

  private:
    uint32_t state_ = 0x2545F491;
};
