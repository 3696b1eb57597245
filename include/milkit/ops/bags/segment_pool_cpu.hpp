#pragma once

#include <cmath>
#include <limits>

#include <milkit/core/compiled.hpp>
#include <milkit/core/eigen.hpp>
#include <milkit/ops/bags/segment_pool.hpp>

namespace milkit::ops::detail {

template <>
struct segment_pool_impl<cpu> {
  using states_view = matrix_view<double>;
  static constexpr double none = -std::numeric_limits<double>::infinity();

  /// Calls body(i, segment) for each bag of the chunk: i counts the chunk's bags, the segment is its rows within the
  /// chunk.
  template <class Body>
  static void for_each_bag(const bag_chunk<>& chunk, Body&& body) {
    for (std::int64_t i = 0; i < chunk.bags.count; ++i) body(i, chunk.segment(i));
  }

  template <class T>
  static void run(cpu&, softmax_step, const bag_chunk<>& chunk, matrix_view<const T> h, matrix_view<const T> logits,
                  states_view part) {
    constexpr std::int64_t block = 128;  // rows that are summed in T before they are added in double
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      double* state = part.row(i);
      double peak = none;
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
        if (const double z = static_cast<double>(logits(r, 0)); z > peak || std::isnan(z)) peak = z;
      std::fill_n(state, part.cols(), 0.0);
      state[0] = peak;
      if (peak == none) return;  // nothing has mass: as no rows at all, wherever the chunks begin
      const std::int64_t d = h.cols();
      for (std::int64_t first = rows.first; first < rows.first + rows.count; first += block) {
        const std::int64_t count = (std::min)(block, rows.first + rows.count - first);
        T weight[block];
        for (std::int64_t k = 0; k < count; ++k) {
          weight[k] = static_cast<T>(std::exp(static_cast<double>(logits(first + k, 0)) - peak));
          state[1] += static_cast<double>(weight[k]);
        }
        constexpr std::int64_t columns = 64;
        for (std::int64_t c = 0; c < d; c += columns) {
          const std::int64_t width = (std::min)(columns, d - c);
          T sum[columns] = {};
          for (std::int64_t k = 0; k < count; ++k) {
            const T* row = h.row(first + k) + c;
            for (std::int64_t j = 0; j < width; ++j) sum[j] += weight[k] * row[j];
          }
          for (std::int64_t j = 0; j < width; ++j) state[2 + c + j] += static_cast<double>(sum[j]);
        }
      }
    });
  }

  static void run(cpu&, softmax_merge_step, states_view part, states_view states) {
    for (std::int64_t i = 0; i < part.rows(); ++i) {
      const double* from = part.row(i);
      double* into = states.row(i);
      if (from[1] == 0) continue;  // the empty state is the identity: never evaluates (-inf) - (-inf)
      if (into[1] == 0) {
        std::copy_n(from, part.cols(), into);
        continue;
      }
      const double peak = (std::max)(from[0], into[0]);
      const double keep = std::exp(into[0] - peak), add = std::exp(from[0] - peak);
      into[0] = peak;
      for (std::int64_t j = 1; j < part.cols(); ++j) into[j] = keep * into[j] + add * from[j];
    }
  }

  template <class T>
  static void run(cpu&, softmax_finish_step, states_view states, matrix_view<T> embedding) {
    for (std::int64_t b = 0; b < embedding.rows(); ++b)
      for (std::int64_t j = 0; j < embedding.cols(); ++j)
        embedding(b, j) = static_cast<T>(states(b, 2 + j) / states(b, 1));
  }

  template <class T>
  static void run(cpu&, softmax_weights_step, const bag_chunk<>& chunk, matrix_view<const T> logits, states_view states,
                  matrix_view<T> attention) {
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      const double* state = states.row(chunk.bags.first + i);
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
        attention(r, 0) = static_cast<T>(weight(logits(r, 0), state));
    });
  }

  template <class T>
  static void run(cpu&, softmax_dots_step, const bag_chunk<>& chunk, matrix_view<const T> logits, states_view states,
                  matrix_view<const T> dattention, vector_view<double> dots) {
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      const double* state = states.row(chunk.bags.first + i);
      double sum = 0;
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
        sum += weight(logits(r, 0), state) * static_cast<double>(dattention(r, 0));
      dots(chunk.bags.first + i) += sum;
    });
  }

  template <class T>
  static void run(cpu&, softmax_backward_step, const bag_chunk<>& chunk, matrix_view<const T> h,
                  matrix_view<const T> logits, states_view states, matrix_view<const T> dembedding,
                  matrix_view<const T> dattention, vector_view<double> dots, matrix_view<T> dlogits,
                  matrix_view<T> dh) {
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      const std::int64_t bag = chunk.bags.first + i;
      const double* state = states.row(bag);
      double dg_g = 0;
      for (std::int64_t j = 0; j < dembedding.cols(); ++j)
        dg_g += static_cast<double>(dembedding(bag, j)) * state[2 + j];
      const double shift = dg_g / state[1] + (dots.absent() ? 0.0 : dots(bag));
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r) {
        const double a = weight(logits(r, 0), state);
        double upstream = dattention.absent() ? 0.0 : static_cast<double>(dattention(r, 0));
        if (!dembedding.absent()) upstream += dot(dembedding.row(bag), h.row(r), h.cols());
        dlogits(r, 0) = static_cast<T>(a * (upstream - shift));
        if (dh.absent()) continue;
        const T a_T = static_cast<T>(a);
        const T* dg = dembedding.row(bag);
        T* out = dh.row(r);
        for (std::int64_t j = 0; j < dh.cols(); ++j) out[j] = a_T * dg[j];
      }
    });
  }

  template <class T>
  static void run(cpu&, sum_step, const bag_chunk<>& chunk, matrix_view<const T> h, states_view part) {
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      double* sum = part.row(i);
      std::fill_n(sum, part.cols(), 0.0);
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
        for (std::int64_t j = 0; j < h.cols(); ++j) sum[j] += static_cast<double>(h(r, j));
    });
  }
  static void run(cpu&, sum_merge_step, states_view part, states_view states) {
    for (std::int64_t i = 0; i < part.rows(); ++i)
      for (std::int64_t j = 0; j < part.cols(); ++j) states(i, j) += part(i, j);
  }
  template <class T>
  static void run(cpu&, mean_finish_step, vector_view<const std::int64_t> offsets, states_view states,
                  matrix_view<T> embedding) {
    for (std::int64_t b = 0; b < embedding.rows(); ++b)
      for (std::int64_t j = 0; j < embedding.cols(); ++j)
        embedding(b, j) = static_cast<T>(states(b, j) / static_cast<double>(offsets(b + 1) - offsets(b)));
  }
  template <class T>
  static void run(cpu&, mean_weights_step, const bag_chunk<>& chunk, matrix_view<T> attention) {
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      const std::int64_t bag = chunk.bags.first + i;
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
        attention(r, 0) = T(1) / static_cast<T>(chunk.offsets(bag + 1) - chunk.offsets(bag));
    });
  }
  template <class T>
  static void run(cpu&, mean_backward_step, const bag_chunk<>& chunk, matrix_view<const T> dembedding,
                  matrix_view<T> dh) {
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      const std::int64_t bag = chunk.bags.first + i;
      const T share = T(1) / static_cast<T>(chunk.offsets(bag + 1) - chunk.offsets(bag));
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
        for (std::int64_t j = 0; j < dh.cols(); ++j) dh(r, j) = share * dembedding(bag, j);
    });
  }

  template <class T>
  static void run(cpu&, max_step, const bag_chunk<>& chunk, matrix_view<const T> h, states_view part) {
    const std::int64_t d = h.cols();
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      double *value = part.row(i), *index = value + d;
      for (std::int64_t j = 0; j < d; ++j) {
        value[j] = static_cast<double>(h(rows.first, j));
        index[j] = static_cast<double>(chunk.rows.first + rows.first + 1);
      }
      for (std::int64_t r = rows.first + 1; r < rows.first + rows.count; ++r)
        for (std::int64_t j = 0; j < d; ++j)
          if (larger(static_cast<double>(h(r, j)), value[j])) {
            value[j] = static_cast<double>(h(r, j));
            index[j] = static_cast<double>(chunk.rows.first + r + 1);
          }
    });
  }
  static void run(cpu&, max_merge_step, states_view part, states_view states) {
    const std::int64_t d = part.cols() / 2;
    for (std::int64_t i = 0; i < part.rows(); ++i)
      for (std::int64_t j = 0; j < d; ++j)
        if (states(i, d + j) == 0 || larger(part(i, j), states(i, j))) {
          states(i, j) = part(i, j);
          states(i, d + j) = part(i, d + j);
        }
  }
  template <class T>
  static void run(cpu&, max_finish_step, states_view states, matrix_view<T> embedding) {
    for (std::int64_t b = 0; b < embedding.rows(); ++b)
      for (std::int64_t j = 0; j < embedding.cols(); ++j) embedding(b, j) = static_cast<T>(states(b, j));
  }
  template <class T>
  static void run(cpu&, max_weights_step, const bag_chunk<>& chunk, states_view states, matrix_view<T> attention) {
    const std::int64_t d = states.cols() / 2;
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      for (std::int64_t r = 0; r < rows.count; ++r) attention(rows.first + r, 0) = T(0);
      for (std::int64_t j = 0; j < d; ++j) {
        const std::int64_t row = static_cast<std::int64_t>(states(chunk.bags.first + i, d + j)) - 1 - chunk.rows.first;
        if (row >= rows.first && row < rows.first + rows.count) attention(row, 0) += T(1) / static_cast<T>(d);
      }
    });
  }
  template <class T>
  static void run(cpu&, max_backward_step, const bag_chunk<>& chunk, states_view states,
                  matrix_view<const T> dembedding, matrix_view<T> dh) {
    const std::int64_t d = dh.cols();
    for_each_bag(chunk, [&](std::int64_t i, row_range rows) {
      const std::int64_t bag = chunk.bags.first + i;
      for (std::int64_t r = rows.first; r < rows.first + rows.count; ++r)
        for (std::int64_t j = 0; j < d; ++j)
          dh(r, j) = states(bag, d + j) == static_cast<double>(chunk.rows.first + r + 1) ? dembedding(bag, j) : T(0);
    });
  }

 private:
  template <class T>
  static double weight(T logit, const double* state) {
    return std::exp(static_cast<double>(logit) - state[0]) / state[1];
  }
  static bool larger(double a, double b) { return a > b || (std::isnan(a) && !std::isnan(b)); }

  /// In double, in blocks of 8 partial sums that the compiler keeps in registers.
  template <class T>
  static double dot(const T* a, const T* b, std::int64_t count) {
    double sums[8] = {};
    std::int64_t j = 0;
    for (; j + 8 <= count; j += 8)
      for (std::int64_t k = 0; k < 8; ++k) sums[k] += static_cast<double>(a[j + k]) * static_cast<double>(b[j + k]);
    double sum = 0;
    for (; j < count; ++j) sum += static_cast<double>(a[j]) * static_cast<double>(b[j]);
    for (const double part : sums) sum += part;
    return sum;
  }
};

MILKIT_COMPILED_OP(segment_pool_impl, softmax_step, bag_chunk<>, matrix_view<const T>, matrix_view<const T>,
                   matrix_view<double>);
MILKIT_COMPILED_OP_ONCE(segment_pool_impl, softmax_merge_step, matrix_view<double>, matrix_view<double>);
MILKIT_COMPILED_OP(segment_pool_impl, softmax_finish_step, matrix_view<double>, matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, softmax_weights_step, bag_chunk<>, matrix_view<const T>, matrix_view<double>,
                   matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, softmax_dots_step, bag_chunk<>, matrix_view<const T>, matrix_view<double>,
                   matrix_view<const T>, vector_view<double>);
MILKIT_COMPILED_OP(segment_pool_impl, softmax_backward_step, bag_chunk<>, matrix_view<const T>, matrix_view<const T>,
                   matrix_view<double>, matrix_view<const T>, matrix_view<const T>, vector_view<double>, matrix_view<T>,
                   matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, sum_step, bag_chunk<>, matrix_view<const T>, matrix_view<double>);
MILKIT_COMPILED_OP_ONCE(segment_pool_impl, sum_merge_step, matrix_view<double>, matrix_view<double>);
MILKIT_COMPILED_OP(segment_pool_impl, mean_finish_step, vector_view<const std::int64_t>, matrix_view<double>,
                   matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, mean_weights_step, bag_chunk<>, matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, mean_backward_step, bag_chunk<>, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, max_step, bag_chunk<>, matrix_view<const T>, matrix_view<double>);
MILKIT_COMPILED_OP_ONCE(segment_pool_impl, max_merge_step, matrix_view<double>, matrix_view<double>);
MILKIT_COMPILED_OP(segment_pool_impl, max_finish_step, matrix_view<double>, matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, max_weights_step, bag_chunk<>, matrix_view<double>, matrix_view<T>);
MILKIT_COMPILED_OP(segment_pool_impl, max_backward_step, bag_chunk<>, matrix_view<double>, matrix_view<const T>,
                   matrix_view<T>);

}  // namespace milkit::ops::detail
