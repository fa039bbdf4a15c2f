// Norms and signs: bits of sums, and the gradient at the sums, rounded.

#include <cmath>
#include <type_traits>
#include <vector>

#include "bits.h"

namespace {

// Places that one thread sees to at a time: fixed, so that any number of threads gives the same.
constexpr int64_t BLOCK = 1024;

int64_t blocks(int64_t places) { return (places + BLOCK - 1) / BLOCK; }

// What a norm does to its sums, and its sign's gradient: of 64 channels, from `first` on.
struct Affine {
    float scale[BITS], offset[BITS], gamma[BITS], beta[BITS];

    Affine(const float* s, const float* o, const float* g, const float* b, int first) {
        std::copy(s + first, s + first + BITS, scale);
        std::copy(o + first, o + first + BITS, offset);
        std::copy(g + first, g + first + BITS, gamma);
        std::copy(b + first, b + first + BITS, beta);
    }
};

// The gradient that a sign lets pass where z is read: 1 or 2 - 2 |z| times it, where |z| < 1.
template <bool POLYNOMIAL>
inline float passed(float gradient, float z) {
    const float size = std::fabs(z);
    return size < 1 ? POLYNOMIAL ? gradient * (2 - 2 * size) : gradient : 0.0f;
}

template <typename T, bool POLYNOMIAL>
void gradient_moments_of(const int16_t* y, const T* da, int64_t places, int channels,
                         const Affine& f, double* sums) {
    constexpr int CHUNK = 64;  // places whose sums floats hold well
    for (int64_t from = 0; from < places; from += CHUNK) {
        float g1[BITS] = {}, gx[BITS] = {}, g2[BITS] = {};
        for (int64_t p = from; p < std::min(places, from + CHUNK); ++p, y += channels, da += channels)
            for (int c = 0; c < BITS; ++c) {
                const float x = y[c] * f.scale[c] + f.offset[c];
                const float g = passed<POLYNOMIAL>(da[c], x * f.gamma[c] + f.beta[c]);
                g1[c] += g;
                gx[c] += g * x;
                g2[c] += g * g;
            }
        for (int c = 0; c < BITS; ++c) {
            sums[c] += g1[c];
            sums[channels + c] += gx[c];
            sums[2 * channels + c] += g2[c];
        }
    }
}

// p g + q + r x of each place, rounded.
template <typename T, bool POLYNOMIAL>
void rounded_of(const int16_t* y, const T* da, int64_t places, int channels, const Affine& f,
                const float* factors, uint32_t seed, int8_t* to) {
    uint32_t draws[BITS];
    for (int c = 0; c < BITS; ++c) {  // far apart, never 0
        uint32_t h = seed + 0x9e3779b9u * (c + 1);
        h = (h ^ h >> 16) * 0x85ebca6bu, h = (h ^ h >> 13) * 0xc2b2ae35u;
        draws[c] = (h ^ h >> 16) | 1;
    }
    float p[BITS], q[BITS], r[BITS];
    std::copy(factors, factors + BITS, p);
    std::copy(factors + channels, factors + channels + BITS, q);
    std::copy(factors + 2 * channels, factors + 2 * channels + BITS, r);
    for (int64_t place = 0; place < places; ++place, y += channels, da += channels, to += channels)
        for (int c = 0; c < BITS; ++c) {
            const float x = y[c] * f.scale[c] + f.offset[c];
            const float g = passed<POLYNOMIAL>(da[c], x * f.gamma[c] + f.beta[c]);
            uint32_t d = draws[c];  // xorshift32, Marsaglia 2003
            d ^= d << 13, d ^= d >> 17, d ^= d << 5;
            draws[c] = d;
            const float exact = p[c] * g + q[c] + r[c] * x;
            const float value = std::floor(exact + static_cast<int32_t>(d >> 8) * 0x1p-24f);
            to[c] = static_cast<int8_t>(static_cast<int>(std::min(127.0f, std::max(-127.0f, value))));
        }
}

// Calls `find` with the gradient that is there and the kind of the sign's.
template <typename F>
void dispatch(const int16_t* integers, const float* floats, int polynomial, F find) {
    if (integers)
        polynomial ? find(integers, std::true_type()) : find(integers, std::false_type());
    else
        polynomial ? find(floats, std::true_type()) : find(floats, std::false_type());
}

}  // namespace

extern "C" {

// Each channel's mean and unbiased variance, `noted` (2, channels), and the scale and offset that
// make its sums of mean 0 and variance 1.
void moments(const int16_t* y, int64_t places, int channels, double eps, float* noted,
             float* scale, float* offset) {
    constexpr int64_t CHUNK = 64;  // places whose sums floats hold well
    std::vector<double> all(2 * channels);
#pragma omp parallel num_threads(kernel_threads)
    {
        std::vector<double> own(2 * channels);
        std::vector<float> part(2 * channels);
        float *y1 = part.data(), *y2 = y1 + channels;
#pragma omp for
        for (int64_t from = 0; from < places; from += CHUNK) {
            std::fill(part.begin(), part.end(), 0.0f);
            for (int64_t p = from; p < std::min(places, from + CHUNK); ++p)
                for (int c = 0; c < channels; ++c) {
                    const float value = y[p * channels + c];
                    y1[c] += value;
                    y2[c] += value * value;
                }
            for (int i = 0; i < 2 * channels; ++i) own[i] += part[i];
        }
        add_up(own, all);  // of integers
    }
    for (int c = 0; c < channels; ++c) {
        const double mean = all[c] / places, variance = all[channels + c] / places - mean * mean;
        const double factor = 1 / std::sqrt(variance + eps);
        noted[c] = static_cast<float>(mean);
        noted[channels + c] = static_cast<float>(variance * places / (places - 1));
        scale[c] = static_cast<float>(factor);
        offset[c] = static_cast<float>(-mean * factor);
    }
}

// Bits of (y * scale + offset) * gamma + beta >= 0.
void signs(const int16_t* y, int64_t places, int channels, const float* scale, const float* offset,
           const float* gamma, const float* beta, Word* bits) {
#pragma omp parallel for num_threads(kernel_threads)
    for (int64_t p = 0; p < places; ++p)
        for (int first = 0; first < channels; first += BITS) {
            const int16_t* sums = y + p * channels;
            uint8_t positive[BITS];
            for (int i = 0; i < BITS; ++i) {
                const int c = first + i;
                positive[i] = (sums[c] * scale[c] + offset[c]) * gamma[c] + beta[c] >= 0 ? 255 : 0;
            }
            bits[(p * channels + first) / BITS] = nonzero(reinterpret_cast<const int8_t*>(positive));
        }
}

// Of each channel: the sums of g and g x, `sums` (2, channels), and the mean square of the gradient
// at its sums, `squares`. x: the normalised sums; g: the gradient at the norm's outputs, which is
// `da` (or `da_float`) where the sign lets it pass.
//
// d loss / d sum = s (g - mean g - x mean g x), s = gamma scale
void gradient_moments(const int16_t* y, const int16_t* da, const float* da_float, int64_t places,
                      int channels, const float* scale, const float* offset, const float* gamma,
                      const float* beta, int polynomial, double* sums, double* squares) {
    const size_t size = 3 * static_cast<size_t>(channels);
    std::vector<double> parts(blocks(places) * size);
#pragma omp parallel for num_threads(kernel_threads)
    for (int64_t block = 0; block < blocks(places); ++block)
        for (int c = 0; c < channels; c += BITS) {
            const Affine affine(scale, offset, gamma, beta, c);
            const int64_t first = block * BLOCK, at = first * channels + c;
            auto find = [&](auto from, auto kind) {
                gradient_moments_of<std::decay_t<decltype(*from)>, kind.value>(
                    y + at, from + at, std::min(BLOCK, places - first), channels, affine,
                    &parts[block * size + c]);
            };
            dispatch(da, da_float, polynomial, find);
        }
    std::vector<double> totals(size);
    for (int64_t block = 0; block < blocks(places); ++block)
        for (size_t i = 0; i < size; ++i) totals[i] += parts[block * size + i];
    std::copy(totals.begin(), totals.begin() + 2 * channels, sums);
    for (int c = 0; c < channels; ++c) {
        const double slope = gamma[c] * scale[c];
        const double mean = totals[c] / places, along = totals[channels + c] / places;
        const double left = totals[2 * channels + c] / places - mean * mean - along * along;
        squares[c] = std::max(0.0, slope * slope * left);
    }
}

// The gradient at the sums in multiples of `step`, rounded to 8 bits at random; `sums` as
// `gradient_moments` leaves them.
void rounded(const int16_t* y, const int16_t* da, const float* da_float, int64_t places,
             int channels, const float* scale, const float* offset, const float* gamma,
             const float* beta, int polynomial, const double* sums, double step, uint32_t seed,
             int8_t* to) {
    std::vector<float> factors(3 * channels);  // p, q, r: the gradient is p g + q + r x
    for (int c = 0; c < channels; ++c) {
        const double slope = gamma[c] * scale[c] / step;
        factors[c] = static_cast<float>(slope);
        factors[channels + c] = static_cast<float>(slope * -(sums[c] / places));
        factors[2 * channels + c] = static_cast<float>(slope * -(sums[channels + c] / places));
    }
#pragma omp parallel for num_threads(kernel_threads)
    for (int64_t block = 0; block < blocks(places); ++block)
        for (int c = 0; c < channels; c += BITS) {
            const Affine affine(scale, offset, gamma, beta, c);
            const int64_t first = block * BLOCK, at = first * channels + c;
            const uint32_t own = seed + static_cast<uint32_t>(block * channels + c);
            auto find = [&](auto from, auto kind) {
                rounded_of<std::decay_t<decltype(*from)>, kind.value>(
                    y + at, from + at, std::min(BLOCK, places - first), channels, affine,
                    &factors[c], own, to + at);
            };
            dispatch(da, da_float, polynomial, find);
        }
}

}  // extern "C"
