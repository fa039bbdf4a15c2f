// The first convolution, of pixels - 128: its sums, and the gradient at its weights, by products of
// 8 bits, four at a time.

#include <cstring>
#include <vector>

#include "bits.h"

namespace {

// Sums of 64 outputs at one place of pixels; `weights`: (row, four taps, output, 4), `start`: sums
// of no pixels at all.
void sums_of_fours(const uint8_t* x, const Shape& s, int fours, const int8_t* weights,
                   const int32_t* start, int16_t* y) {
    const int line = s.width * s.channels;
#ifdef WIDE
    const auto load = [&](int part) { return _mm512_loadu_si512(start + 16 * part); };
    __m512i a = load(0), b = load(1), c = load(2), d = load(3);
    for (int ky = 0; ky < s.kernel; ++ky, x += line)
        for (int j = 0; j < fours; ++j, weights += 4 * s.outputs) {
            int32_t four;
            std::memcpy(&four, x + 4 * j, sizeof four);
            const __m512i pixels = _mm512_set1_epi32(four);
            const auto add = [&](__m512i sums, int part) {
                return _mm512_dpbusd_epi32(sums, pixels, _mm512_loadu_si512(weights + 64 * part));
            };
            a = add(a, 0), b = add(b, 1), c = add(c, 2), d = add(d, 3);
        }
    const auto store = [&](__m512i sums, int part) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + 16 * part), _mm512_cvtepi32_epi16(sums));
    };
    store(a, 0), store(b, 1), store(c, 2), store(d, 3);
#else
    int32_t sums[BITS];
    std::copy(start, start + BITS, sums);
    for (int ky = 0; ky < s.kernel; ++ky, x += line)
        for (int j = 0; j < fours; ++j, weights += 4 * s.outputs)
            for (int o = 0; o < BITS; ++o)
                for (int i = 0; i < 4; ++i) sums[o] += x[4 * j + i] * weights[4 * o + i];
    for (int o = 0; o < BITS; ++o) y[o] = static_cast<int16_t>(sums[o]);
#endif
}

constexpr int TAPS = 6;          // of pixels at once
constexpr int FOURS = 4 * BITS;  // bytes of 64 outputs at four places

// Which of 64 outputs is the i-th of 16 in one of four parts: the order that unpacking leaves.
int output_of(int part, int i) { return i / 4 * 16 + part * 4 + i % 4; }

// The gradients of 64 outputs at `count` of four places side by side, 0 at the others: (part, i,
// place).
void take_four(const int8_t* values, int outputs, int count, int8_t* to) {
#ifdef WIDE
    __m512i places[4];
    for (int j = 0; j < 4; ++j)
        places[j] = j < count ? _mm512_loadu_si512(values + j * outputs) : _mm512_setzero_si512();
    const __m512i low_a = _mm512_unpacklo_epi8(places[0], places[1]);
    const __m512i low_b = _mm512_unpacklo_epi8(places[2], places[3]);
    const __m512i high_a = _mm512_unpackhi_epi8(places[0], places[1]);
    const __m512i high_b = _mm512_unpackhi_epi8(places[2], places[3]);
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(low_a, low_b));
    _mm512_storeu_si512(to + 64, _mm512_unpackhi_epi16(low_a, low_b));
    _mm512_storeu_si512(to + 128, _mm512_unpacklo_epi16(high_a, high_b));
    _mm512_storeu_si512(to + 192, _mm512_unpackhi_epi16(high_a, high_b));
#else
    for (int part = 0; part < 4; ++part)
        for (int i = 0; i < 16; ++i)
            for (int j = 0; j < 4; ++j)
                *to++ = j < count ? values[j * outputs + output_of(part, i)] : 0;
#endif
}

// Adds to the sums (tap, part, i) what TAPS taps of pixels, each at its offset from a place, have
// with the gradients of 64 outputs, `values`: (row, four places).
void to_pixels(const int8_t* values, const Shape& s, int fours, const uint8_t* pixels,
               const int* offsets, int32_t* sums) {
#ifdef WIDE
    __m512i found[TAPS][4];
    for (int t = 0; t < TAPS; ++t)
        for (int part = 0; part < 4; ++part) found[t][part] = _mm512_setzero_si512();
    for (int row = 0; row < s.rows(); ++row)
        for (int four = 0; four < fours; ++four, values += FOURS) {
            __m512i parts[4];
            for (int part = 0; part < 4; ++part)
                parts[part] = _mm512_loadu_si512(values + 64 * part);
            const uint8_t* from = pixels + row * s.width + 4 * four;
            for (int t = 0; t < TAPS; ++t) {
                int32_t read;
                std::memcpy(&read, from + offsets[t], sizeof read);
                const __m512i all = _mm512_set1_epi32(read);
                for (int part = 0; part < 4; ++part)
                    found[t][part] = _mm512_dpbusd_epi32(found[t][part], all, parts[part]);
            }
        }
    for (int t = 0; t < TAPS; ++t)
        for (int part = 0; part < 4; ++part)
            _mm512_storeu_si512(sums + (t * 4 + part) * 16, found[t][part]);
#else
    std::fill(sums, sums + TAPS * BITS, 0);
    for (int row = 0; row < s.rows(); ++row)
        for (int four = 0; four < fours; ++four, values += FOURS) {
            const uint8_t* from = pixels + row * s.width + 4 * four;
            for (int t = 0; t < TAPS; ++t)
                for (int i = 0; i < BITS; ++i)
                    for (int j = 0; j < 4; ++j)
                        sums[t * BITS + i] += from[offsets[t] + j] * values[4 * i + j];
        }
#endif
}

}  // namespace

extern "C" {

// Sums of pixels - 128; images (image, row, column, channel), weights (output, channel, row,
// column).
void sums_of_pixels(const Shape* shape, const uint8_t* x, const float* weights, int16_t* y) {
    const Shape& s = *shape;
    const int run = s.kernel * s.channels, fours = (run + 3) / 4;
    // (row, four taps, output, 4): what follows a row's last tap counts nothing
    std::vector<int8_t> by_four(static_cast<size_t>(s.kernel) * fours * s.outputs * 4);
    std::vector<int32_t> start(s.outputs);
    for (int o = 0; o < s.outputs; ++o)
        for (int ky = 0; ky < s.kernel; ++ky)
            for (int j = 0; j < run; ++j) {
                const int channel = j % s.channels, kx = j / s.channels;
                const float weight =
                    weights[((static_cast<size_t>(o) * s.channels + channel) * s.kernel + ky) *
                                s.kernel + kx];
                const size_t four = static_cast<size_t>(ky) * fours + j / 4;
                by_four[(four * s.outputs + o) * 4 + j % 4] = static_cast<int8_t>(weight);
                start[o] -= 128 * static_cast<int>(weight);
            }
    const int size = s.height * s.width * s.channels;
    const size_t cells = static_cast<size_t>(s.rows()) * s.columns() * s.outputs;
#pragma omp parallel num_threads(kernel_threads)
    {
        std::vector<uint8_t> image(size + 3);
#pragma omp for
        for (int n = 0; n < s.images; ++n) {
            int16_t* to = y + n * cells;
            std::copy_n(x + static_cast<size_t>(n) * size, size, image.begin());
            for (int row = 0; row < s.rows(); ++row)
                for (int column = 0; column < s.columns(); ++column, to += s.outputs)
                    for (int first = 0; first < s.outputs; first += BITS) {
                        const uint8_t* from = &image[(row * s.width + column) * s.channels];
                        sums_of_fours(from, s, fours, &by_four[first * 4], &start[first],
                                      to + first);
                    }
        }
    }
}

// The gradient at the weights that read pixels - 128, `dw` (output, channel, row, column), times
// `unit`.
void gradients_of_pixels(const Shape* shape, const uint8_t* x, const int8_t* values, double unit,
                         float* dw) {
    const Shape& s = *shape;
    const int taps = s.kernel * s.kernel * s.channels, plane = s.height * s.width;
    const int fours = (s.columns() + 3) / 4, places = s.rows() * s.columns();
    std::vector<int> offsets;  // of the taps (channel, row, column) in planes of pixels
    for (int t = 0; t < taps; ++t)
        offsets.push_back(t / s.taps() * plane + t / s.kernel % s.kernel * s.width + t % s.kernel);
    do offsets.push_back(s.channels * plane);  // a plane of ones: sums of the gradient itself
    while (offsets.size() % TAPS);
    const size_t block = offsets.size() * BITS;
    std::vector<int64_t> all(block * (s.outputs / BITS));  // (64 outputs, tap, part, i)
#pragma omp parallel num_threads(kernel_threads)
    {
        const Range images = own_part(s.images);
        std::vector<uint8_t> planes((s.channels + 1) * plane + 4, 1);
        std::vector<int8_t> by_four(static_cast<size_t>(s.rows()) * fours * FOURS);
        std::vector<int32_t> sums(TAPS * BITS);
        std::vector<int64_t> own(all.size());
        for (int n = images.from; n < images.to; ++n) {
            const uint8_t* image = x + static_cast<size_t>(n) * plane * s.channels;
            for (int c = 0; c < s.channels; ++c)
                for (int i = 0; i < plane; ++i) planes[c * plane + i] = image[i * s.channels + c];
            for (int o = 0; o < s.outputs; o += BITS) {
                const int8_t* from = values + static_cast<size_t>(n) * places * s.outputs + o;
                int8_t* to = by_four.data();
                for (int row = 0; row < s.rows(); ++row, from += s.columns() * s.outputs)
                    for (int first = 0; first < s.columns(); first += 4, to += FOURS)
                        take_four(from + first * s.outputs, s.outputs, s.columns() - first, to);
                int64_t* total = &own[o / BITS * block];
                for (size_t t = 0; t < offsets.size(); t += TAPS, total += TAPS * BITS) {
                    to_pixels(by_four.data(), s, fours, planes.data(), &offsets[t], sums.data());
                    for (int i = 0; i < TAPS * BITS; ++i) total[i] += sums[i];
                }
            }
        }
        add_up(own, all);
    }
    const float factor = static_cast<float>(unit);
    for (int first = 0; first < s.outputs; first += BITS)
        for (int part = 0; part < 4; ++part)
            for (int i = 0; i < 16; ++i) {
                const int64_t* sum = &all[first / BITS * block + part * 16 + i];
                const int64_t total = sum[static_cast<size_t>(taps) * BITS];
                float* to = dw + static_cast<size_t>(first + output_of(part, i)) * taps;
                for (int t = 0; t < taps; ++t)
                    to[t] = factor * static_cast<float>(sum[t * BITS] - 128 * total);
            }
}

}  // extern "C"
