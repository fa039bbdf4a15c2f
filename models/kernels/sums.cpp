// Sums of binary convolutions of bits, by XOR and popcount.

#include <vector>

#include "bits.h"

namespace {

// Sums of 64 outputs at P places side by side; `weights`: (tap, word, output).
template <int P>
void sums_at(const Word* x, const Shape& s, const Word* weights, int16_t* y) {
    const int words = s.words(), run = s.kernel * words;
    const int bits = s.taps() * s.channels;
#ifdef WIDE
    __m512i counts[P][8];
    for (auto& place : counts)
        for (auto& count : place) count = _mm512_setzero_si512();
    for (int row = 0; row < s.kernel; ++row) {
        const Word* from = x + static_cast<size_t>(row) * s.width * words;
        for (int j = 0; j < run; ++j, weights += s.outputs) {
            __m512i here[P];
            for (int p = 0; p < P; ++p) here[p] = _mm512_set1_epi64(from[p * words + j]);
            for (int v = 0; v < 8; ++v) {
                const __m512i weight = _mm512_loadu_si512(weights + 8 * v);
                for (int p = 0; p < P; ++p)
                    counts[p][v] = _mm512_add_epi64(
                        counts[p][v], _mm512_popcnt_epi64(_mm512_xor_si512(here[p], weight)));
            }
        }
    }
    const __m512i all = _mm512_set1_epi64(bits);
    for (int p = 0; p < P; ++p)
        for (int v = 0; v < 8; ++v) {
            const __m512i sum = _mm512_sub_epi64(all, _mm512_slli_epi64(counts[p][v], 1));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(y + p * s.outputs + 8 * v),
                             _mm512_cvtepi64_epi16(sum));
        }
#else
    for (int p = 0; p < P; ++p)
        for (int o = 0; o < BITS; ++o) {
            int count = 0;
            const Word* weight = weights + o;
            for (int row = 0; row < s.kernel; ++row)
                for (int j = 0; j < run; ++j, weight += s.outputs)
                    count += __builtin_popcountll(
                        x[(static_cast<size_t>(row) * s.width + p) * words + j] ^ *weight);
            y[p * s.outputs + o] = bits - 2 * count;
        }
#endif
}

// The largest of each 2 x 2, and which of the four it is: the first of equal ones.
void pool(const int16_t* from, const Shape& s, int16_t* y, uint8_t* where) {
    const int outputs = s.outputs, columns = s.columns();
    for (int row = 0; row < s.pooled_rows(); ++row)
        for (int column = 0; column < s.pooled_columns(); ++column) {
            const int16_t* a = from + (static_cast<size_t>(2 * row) * columns + 2 * column) * outputs;
            const int16_t* b = a + static_cast<size_t>(columns) * outputs;
            for (int o = 0; o < outputs; ++o) {
                const int16_t upper = std::max(a[o], a[o + outputs]);
                const int16_t lower = std::max(b[o], b[o + outputs]);
                const int16_t right = a[o + outputs] > a[o], below = b[o + outputs] > b[o];
                const int16_t second = lower > upper;
                y[o] = std::max(upper, lower);
                where[o] = second ? 2 + below : right;
            }
            y += outputs, where += outputs;
        }
}

}  // namespace

int kernel_threads = 1;

extern "C" {

// Weights of -1 and +1 (output, channel, row, column) as bits: (tap, word, output) for the sums,
// (output, column, row, word) for the gradients.
void pack_weights(const Shape* shape, const float* weights, Word* by_tap, Word* by_output) {
    const Shape& s = *shape;
    const int words = s.words(), taps = s.taps();
#pragma omp parallel for num_threads(kernel_threads)
    for (int o = 0; o < s.outputs; ++o)
        for (int t = 0; t < taps; ++t)
            for (int word = 0; word < words; ++word) {
                const float* from =
                    weights + (static_cast<size_t>(o) * s.channels + word * BITS) * taps + t;
                Word bits = 0;
                for (int i = 0; i < BITS; ++i) bits |= static_cast<Word>(from[i * taps] > 0) << i;
                by_tap[(static_cast<size_t>(t) * words + word) * s.outputs + o] = bits;
                const int column_first = t % s.kernel * s.kernel + t / s.kernel;
                by_output[(static_cast<size_t>(o) * taps + column_first) * words + word] = bits;
            }
}

// Sums of binary activations, pooled where wanted.
void sums_of_bits(const Shape* shape, const Word* x, const Word* by_tap, int16_t* y,
                  uint8_t* where) {
    const Shape& s = *shape;
    const size_t cells = static_cast<size_t>(s.pooled_rows()) * s.pooled_columns() * s.outputs;
    const size_t pixels = static_cast<size_t>(s.height) * s.width;
#pragma omp parallel num_threads(kernel_threads)
    {
        std::vector<int16_t> whole(static_cast<size_t>(s.rows()) * s.columns() * s.outputs);
#pragma omp for
        for (int n = 0; n < s.images; ++n) {
            const Word* image = x + n * pixels * s.words();
            int16_t* to = s.pool ? whole.data() : y + n * cells;
            for (int row = 0; row < s.rows(); ++row)
                for (int column = 0; column < s.columns(); column += 2) {
                    const size_t place = static_cast<size_t>(row) * s.columns() + column;
                    const Word* from = image + (row * s.width + column) * s.words();
                    int16_t* sums = to + place * s.outputs;
                    for (int o = 0; o < s.outputs; o += BITS)
                        if (column + 1 < s.columns())
                            sums_at<2>(from, s, by_tap + o, sums + o);
                        else
                            sums_at<1>(from, s, by_tap + o, sums + o);
                }
            if (s.pool) pool(to, s, y + n * cells, where + n * cells);
        }
    }
}

}  // extern "C"
