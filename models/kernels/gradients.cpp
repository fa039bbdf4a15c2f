// Gradients at the activations and at the weights, of rounded ones at the sums: of those many are
// zero, and each that is not is added wherever a bit says so.

#include <cstdlib>
#include <numeric>
#include <vector>

#include "bits.h"

namespace {

constexpr int MOST = 127;  // of 8 bits

// 64 sums of 8 bits, one for each channel of a word; whoever adds sees to it that they hold.
struct Sums {
#ifdef WIDE
    __m512i sums;

    void clear() { sums = _mm512_setzero_si512(); }

    void add(const Word* where, int8_t value) {
        const auto* mask = reinterpret_cast<const __mmask64*>(where);
        const __m512i all = _mm512_set1_epi8(value);
        sums = _mm512_mask_add_epi8(sums, _load_mask64(const_cast<__mmask64*>(mask)), sums, all);
    }

    void move_to(int16_t* to) {
        const auto move = [&](int16_t* to, __m256i part) {
            const __m512i before = _mm512_loadu_si512(to);
            _mm512_storeu_si512(to, _mm512_add_epi16(before, _mm512_cvtepi8_epi16(part)));
        };
        move(to, _mm512_castsi512_si256(sums));
        move(to + 32, _mm512_extracti64x4_epi64(sums, 1));
        clear();
    }

    void move_to(int32_t* to) {
        const auto move = [&](int32_t* to, __m128i part) {
            const __m512i before = _mm512_loadu_si512(to);
            _mm512_storeu_si512(to, _mm512_add_epi32(before, _mm512_cvtepi8_epi32(part)));
        };
        move(to, _mm512_castsi512_si128(sums));
        move(to + 16, _mm512_extracti32x4_epi32(sums, 1));
        move(to + 32, _mm512_extracti32x4_epi32(sums, 2));
        move(to + 48, _mm512_extracti32x4_epi32(sums, 3));
        clear();
    }
#else
    int8_t sums[BITS];

    void clear() { std::fill(sums, sums + BITS, 0); }

    void add(const Word* where, int8_t value) {
        for (int i = 0; i < BITS; ++i)
            if (*where >> i & 1) sums[i] += value;
    }

    template <typename T>
    void move_to(T* to) {  // added to what is there
        for (int i = 0; i < BITS; ++i) to[i] += sums[i];
        clear();
    }
#endif
};

// Sums of N words. Not an array: the compiler keeps what is nested, and no array, in registers.
template <int N>
struct Group {
    Sums sums;
    Group<N - 1> others;

    void clear() { sums.clear(), others.clear(); }

    void add(const Word* from, const int* offsets, int8_t value) {
        sums.add(from + offsets[0], value);
        others.add(from, offsets + 1, value);
    }

    template <typename T>
    void move_to(T* to, int stride) {
        sums.move_to(to), others.move_to(to + stride, stride);
    }
};

template <>
struct Group<0> {
    void clear() {}
    void add(const Word*, const int*, int8_t) {}
    template <typename T>
    void move_to(T*, int) {}
};

struct Entry {   // of the gradient in one row of places
    int32_t at;  // the output's bits, as far before them as the place's column is from the left
    int32_t value;
};

struct Place {   // of one output's gradient
    int32_t at;  // the first word it reads, in a group of images
    int32_t value;
};

// The gradient at the sums of a few images, as lists for each row of places and for each output.
struct Sparse {
    const Shape& s;
    std::vector<Entry> entries;  // (row, up to columns * outputs) of the last image
    std::vector<int> start;      // (row, columns + 1) where each place's entries start and end
    std::vector<int> total;      // of each place's entries
    std::vector<int> size;       // of each place's entries without their signs
    std::vector<Place> places;   // (output, up to `most`) of all images of a group
    std::vector<int> placed;     // places of each output
    size_t most;

    Sparse(const Shape& s, int group)
        : s(s),
          entries(static_cast<size_t>(s.rows()) * s.columns() * s.outputs),
          start(s.rows() * (s.columns() + 1)),
          total(s.rows() * s.columns()),
          size(s.rows() * s.columns()),
          placed(s.outputs),
          most(static_cast<size_t>(group) * s.pooled_rows() * s.pooled_columns()) {
        places.resize(most * s.outputs);
    }

    // The entries of a row from one column up to another, as [from, to).
    const Entry* at(int row, int column) const {
        return &entries[static_cast<size_t>(row) * s.columns() * s.outputs] +
               start[row * (s.columns() + 1) + column];
    }

    void add(const int8_t* values, const uint8_t* where, int image) {
        std::fill(start.begin(), start.end(), 0);
        std::fill(total.begin(), total.end(), 0);
        std::fill(size.begin(), size.end(), 0);
        const int side = s.pool ? 2 : 1;
        for (int row = 0; row < s.pooled_rows(); ++row)
            for (int column = 0; column < s.pooled_columns(); ++column) {
                for (int y = 0; y < side; ++y)
                    for (int x = 0; x < side; ++x)
                        add_place(values, where, 2 * y + x, side * row + y, side * column + x,
                                  image);
                values += s.outputs, where += s.pool ? s.outputs : 0;
            }
        if (s.pool && s.columns() % 2)  // no pool reads the last column
            for (int row = 0; row < s.rows(); ++row) {
                int* end = &start[row * (s.columns() + 1) + s.columns()];
                end[0] = end[-1];
            }
    }

    void add_place(const int8_t* values, const uint8_t* where, int which, int row, int column,
                   int image) {
        int* ends = &start[row * (s.columns() + 1) + column];
        Entry* to = &entries[static_cast<size_t>(row) * s.columns() * s.outputs] + ends[0];
        const Entry* first_entry = to;
        const int pixel = ((image * s.height + row) * s.width + column) * s.words();
        int sum = 0, sizes = 0;
        for (int first = 0; first < s.outputs; first += BITS) {
            Word left = nonzero(values + first);
            if (s.pool) left &= equal(where + first, which);
            for (; left; left &= left - 1) {
                const int o = first + __builtin_ctzll(left);
                const int value = values[o];
                places[o * most + placed[o]++] = {pixel, value};
                *to++ = {(o * s.kernel - column) * s.kernel * s.words(), value};
                sum += value;
                sizes += std::abs(value);
            }
        }
        total[row * s.columns() + column] = sum;
        size[row * s.columns() + column] = sizes;
        ends[1] = ends[0] + static_cast<int>(to - first_entry);
    }
};

// Sums at K inputs below each other, of G words each.
template <int K, int G>
struct Column {
    static constexpr int NEXT[] = {0, 1, 2, 3};
    Group<G> top;
    Column<K - 1, G> below;

    void clear() { top.clear(), below.clear(); }

    void add(const Word* bits, int words, int8_t value) {
        top.add(bits, NEXT, value);
        below.add(bits + words, words, value);
    }

    // To rows of sums, of which there are `rows` in turn: the top one's is that of number `row`.
    void move_to(int16_t* to, int row, int rows) {
        top.move_to(to + row * G * BITS, BITS);
        below.move_to(to, row + 1 == rows ? 0 : row + 1, rows);
    }
};

template <int G>
struct Column<0, G> {
    void clear() {}
    void add(const Word*, int, int8_t) {}
    void move_to(int16_t*, int, int) {}
};

// The gradient at one input that 16 bits do not hold on the way; it stays at their end.
void to_large_input(const Sparse& sparse, const Word* weights, int y, int x, int first, int count,
                    int16_t* to) {
    const Shape& s = sparse.s;
    std::vector<int> sums(count);
    const int left = std::max(0, x - s.kernel + 1), right = std::min(x, s.columns() - 1);
    for (int ky = std::max(0, y - s.rows() + 1); ky < s.kernel && ky <= y; ++ky) {
        const Entry* end = sparse.at(y - ky, right + 1);
        for (const Entry* entry = sparse.at(y - ky, left); entry < end; ++entry) {
            const Word* bits = weights + entry->at + (x * s.kernel + ky) * s.words() + first;
            for (int i = 0; i < count; ++i)
                sums[i] += bits[i / BITS] >> i % BITS & 1 ? entry->value : -entry->value;
        }
    }
    for (int i = 0; i < count; ++i) to[i] = std::clamp(sums[i], -LARGEST, LARGEST);
}

// Gradient at G words of channels of one image's inputs, column by column; `weights`: (output,
// column, row, word), K rows.
template <int K, int G>
void to_inputs(const Sparse& sparse, const Word* weights, int word, int16_t* dx) {
    const Shape& s = sparse.s;
    const int words = s.words();
    for (int x = 0; x < s.width; ++x) {
        const int left = std::max(0, x - K + 1), right = std::min(x, s.columns() - 1);
        const Word* column = weights + x * K * words + word;
        Column<K, G> sums;
        sums.clear();
        int16_t rows[K * G * BITS] = {};    // sums at rows y, y + 1, ..., each at y % K
        int totals[K] = {}, sizes[K] = {};  // of the last K rows
        for (int y = 0; y < s.height; ++y) {
            int &total = totals[y % K], &size = sizes[y % K];
            total = size = 0;
            if (y < s.rows()) {
                const Entry* end = sparse.at(y, right + 1);
                int room = MOST;
                for (const Entry* entry = sparse.at(y, left); entry < end; ++entry) {
                    room -= std::abs(entry->value);
                    if (room < 0) {
                        sums.move_to(rows, y % K, K);
                        room = MOST - std::abs(entry->value);
                    }
                    sums.add(column + entry->at, words, entry->value);
                }
                sums.move_to(rows, y % K, K);
                for (int place = y * s.columns() + left; place <= y * s.columns() + right; ++place)
                    total += sparse.total[place], size += sparse.size[place];
            }
            int16_t* to = dx + (static_cast<size_t>(y) * s.width + x) * s.channels + word * BITS;
            int16_t* row = rows + y % K * G * BITS;
            if (2 * std::accumulate(sizes, sizes + K, 0) <= LARGEST) {
                const int all = std::accumulate(totals, totals + K, 0);
                for (int i = 0; i < G * BITS; ++i) to[i] = 2 * row[i] - all;  // +1, less -1
            } else {
                to_large_input(sparse, weights, y, x, word, G * BITS, to);
            }
            std::fill(row, row + G * BITS, 0);
        }
    }
}

// Gradient at one image's inputs.
template <int K>
void to_inputs(const Sparse& sparse, const Word* weights, int16_t* dx) {
    const int words = sparse.s.words();
    int word = 0;
    if constexpr (K <= 3) {  // more sums than registers otherwise
        for (; word + 4 <= words; word += 4) to_inputs<K, 4>(sparse, weights, word, dx);
        for (; word + 2 <= words; word += 2) to_inputs<K, 2>(sparse, weights, word, dx);
    }
    for (; word < words; ++word) to_inputs<K, 1>(sparse, weights, word, dx);
}

// Adds to the sums (tap, channel) of one output what T of its taps see at the places.
template <int T>
void to_taps(const Place* place, int count, const Word* x, const int* offsets, int32_t* dw,
             int channels) {
    Group<T> sums;
    sums.clear();
    int room = MOST;
    for (const Place* end = place + count; place < end; ++place) {
        room -= std::abs(place->value);
        if (room < 0) {
            sums.move_to(dw, channels);
            room = MOST - std::abs(place->value);
        }
        sums.add(x + place->at, offsets, place->value);
    }
    sums.move_to(dw, channels);
}

void to_weights(const Sparse& sparse, const Word* x, int32_t* dw, int64_t* totals) {
    const Shape& s = sparse.s;
    constexpr int TOGETHER = 9;
    const int words = s.words(), taps = s.taps();
    std::vector<int> offsets(taps);
    for (int word = 0; word < words; ++word) {
        for (int t = 0; t < taps; ++t)
            offsets[t] = (t / s.kernel * s.width + t % s.kernel) * words + word;
        for (int o = 0; o < s.outputs; ++o) {
            const Place* places = &sparse.places[o * sparse.most];
            const int count = sparse.placed[o];
            int32_t* to = dw + static_cast<size_t>(o) * taps * s.channels + word * BITS;
            int t = 0;
            for (; t + TOGETHER <= taps; t += TOGETHER)
                to_taps<TOGETHER>(places, count, x, &offsets[t], to + t * s.channels, s.channels);
            for (; t < taps; ++t)
                to_taps<1>(places, count, x, &offsets[t], to + t * s.channels, s.channels);
            if (word == 0)
                for (int i = 0; i < count; ++i) totals[o] += places[i].value;
        }
    }
}

}  // namespace

extern "C" {

// From the rounded gradient at the (pooled) sums: that at the activations `dx` (image, row, column,
// channel), and that at the weights `dw` (output, channel, row, column), times `unit`.
void gradients_of_bits(const Shape* shape, const Word* x, const Word* by_output,
                       const int8_t* values, const uint8_t* where, double unit, int16_t* dx,
                       float* dw) {
    const Shape& s = *shape;
    const int cells = s.pooled_rows() * s.pooled_columns();
    const size_t words = static_cast<size_t>(s.height) * s.width * s.words();
    const size_t weights = static_cast<size_t>(s.taps()) * s.channels;
    const float factor = static_cast<float>(unit);
    static constexpr decltype(&to_inputs<1>) KERNELS[] = {
        to_inputs<1>, to_inputs<2>, to_inputs<3>, to_inputs<4>, to_inputs<5>};
    const auto kernel_of_inputs = KERNELS[s.kernel - 1];
    std::vector<int64_t> totals(s.outputs);
    std::vector<int32_t> sums(weights * s.outputs);  // (output, tap, channel)
#pragma omp parallel num_threads(kernel_threads)
    {
        const Range images = own_part(s.images);
        const int group = std::max(1, std::min(200 / cells, images.to - images.from));
        Sparse sparse(s, group);
        std::vector<int64_t> own_totals(s.outputs);
        std::vector<int32_t> own(weights * s.outputs);
        for (int first = images.from; first < images.to; first += group) {
            std::fill(sparse.placed.begin(), sparse.placed.end(), 0);
            for (int n = first; n < std::min(images.to, first + group); ++n) {
                const size_t at = static_cast<size_t>(n) * cells * s.outputs;
                sparse.add(values + at, s.pool ? where + at : nullptr, n - first);
                int16_t* to = dx + n * words * BITS;
                kernel_of_inputs(sparse, by_output, to);
            }
            to_weights(sparse, x + first * words, own.data(), own_totals.data());
        }
        add_up(own, sums), add_up(own_totals, totals);
#pragma omp barrier
#pragma omp for
        for (int o = 0; o < s.outputs; ++o) {
            const int32_t* sum = &sums[o * weights];
            float* to = dw + o * weights;
            for (int t = 0; t < s.taps(); ++t)
                for (int c = 0; c < s.channels; ++c)  // where +1, less where -1
                    to[c * s.taps() + t] = factor * static_cast<float>(2 * *sum++ - totals[o]);
        }
    }
}

}  // extern "C"
