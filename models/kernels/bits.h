// What the kernels of `models.bitwise` share.
//
// Activations lie as (image, row, column, word), 64 channels a word, 1 for +1; sums and what is
// their like as (image, row, column, channel). Where there is AVX-512 (BW, VPOPCNTDQ and VNNI), WIDE
// code uses it; the plain code beside it gives the same numbers.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <omp.h>

#if defined(__AVX512BW__) && defined(__AVX512VPOPCNTDQ__) && defined(__AVX512VNNI__)
#define WIDE 1
#include <immintrin.h>
#endif

using Word = uint64_t;
constexpr int BITS = 64;
constexpr int LARGEST = 32767;  // of 16 bits

struct Shape {  // one convolution without border; `pool`: a 2 x 2 max-pool follows
    int images, height, width, channels, kernel, outputs, pool;

    int words() const { return channels / BITS; }
    int rows() const { return height - kernel + 1; }
    int columns() const { return width - kernel + 1; }
    int pooled_rows() const { return pool ? rows() / 2 : rows(); }
    int pooled_columns() const { return pool ? columns() / 2 : columns(); }
    int taps() const { return kernel * kernel; }
};

extern int kernel_threads;  // their number changes no result

struct Range {
    int from, to;
};

// This thread's part of a parallel region's `count` items.
inline Range own_part(int count) {
    const int64_t all = omp_get_num_threads(), own = omp_get_thread_num();
    return {static_cast<int>(count * own / all), static_cast<int>(count * (own + 1) / all)};
}

// Adds what a thread of a parallel region has to what all have: numbers whose order is all one.
template <typename T>
void add_up(const std::vector<T>& own, std::vector<T>& all) {
#pragma omp critical
    for (size_t i = 0; i < own.size(); ++i) all[i] += own[i];
}

inline Word nonzero(const int8_t* values) {  // a bit for each of 64
#ifdef WIDE
    const __m512i all = _mm512_loadu_si512(values);
    return _mm512_test_epi8_mask(all, all);
#else
    Word found = 0;
    for (int i = 0; i < BITS; ++i) found |= static_cast<Word>(values[i] != 0) << i;
    return found;
#endif
}

inline Word equal(const uint8_t* values, int to) {  // a bit for each of 64
#ifdef WIDE
    return _mm512_cmpeq_epi8_mask(_mm512_loadu_si512(values), _mm512_set1_epi8(to));
#else
    Word found = 0;
    for (int i = 0; i < BITS; ++i) found |= static_cast<Word>(values[i] == to) << i;
    return found;
#endif
}
