#pragma once

#include <algorithm>
#include <limits>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/selection/draws.hpp>

namespace milkit::ops::detail {

/// Throws unless the entries are a distribution; NaN passes, because it comes out as NaN.
template <class T>
void expect_distribution(std::string_view op, const T* p, std::int64_t size) {
  double sum = 0;
  T least = 0;
  for (std::int64_t i = 0; i < size; ++i) {
    sum += static_cast<double>(p[i]);
    least = p[i] < least ? p[i] : least;
  }
  expect_value(!(least < 0), op, "a probability is ", least, ", expected 0 or more");
  expect_value(!(std::abs(sum - 1) > 1e-3), op, "the probabilities sum to ", sum, ", expected 1");
}

template <>
struct draws_impl<cpu> {
  static constexpr std::int64_t chunk = 2048;

  template <class Noise, class T>
  static vector_view<std::uint64_t> scratch(cpu& backend, draw_counts_step, const Noise&, vector_view<const T> p,
                                            std::int64_t, bool, vector_view<std::int64_t>) {
    return backend.workspace.allocate<std::uint64_t>(p.extent(0));
  }
  template <class Noise, class T>
  static void run(cpu&, vector_view<std::uint64_t> cumulative, draw_counts_step, const Noise& noise,
                  vector_view<const T> p, std::int64_t n, bool stratified, vector_view<std::int64_t> counts) {
    expect_distribution("milkit::ops::draw_counts", p.data(), p.extent(0));
    std::uint64_t sum = 0;
    std::int64_t nan = -1, last = 0;
    for (std::int64_t i = 0; i < p.extent(0); ++i) {
      const std::uint64_t own = mass_units(p(i));
      cumulative(i) = sum += own;
      if (own > 0) last = i;
      if (p(i) != p(i) && nan < 0) nan = i;
      counts(i) = 0;
    }
    if (nan >= 0) {
      counts(nan) = -n;
      return;
    }
    for (std::int64_t i = 0; i < n; ++i) {
      const std::uint64_t* begin = cumulative.data();
      counts(std::upper_bound(begin, begin + last, draw_units(noise, i, n, stratified, sum)) - begin) += 1;
    }
  }

  /// Ring times of all rows, and of each row the heap of its first.
  struct ring {
    double time;
    std::int32_t item;
  };
  struct item_memory {
    matrix_view<double> times;
    vector_view<ring> first;
  };
  template <class Noise, class T>
  static item_memory scratch(cpu& backend, draw_items_step, const Noise&, draw_law, matrix_view<const T> p,
                             const draw_list<>& list, vector_view<const std::int64_t>,
                             vector_view<std::int32_t> items) {
    return {backend.workspace.allocate<double>(shape<2>{list.count(), p.cols()}),
            backend.workspace.allocate<ring>(items.extent(0))};
  }
  template <class Noise, class T>
  static void run(cpu& backend, const item_memory& memory, draw_items_step, const Noise& noise, draw_law law,
                  matrix_view<const T> p, const draw_list<>& list, vector_view<const std::int64_t> numbers,
                  vector_view<std::int32_t> items) {
    const std::int64_t size = p.cols(), chunks = chunk_count(size, chunk);
    for (std::int64_t s = 0; s < list.count(); ++s) {
      expect_items("milkit::ops::draw_items", p, list, s);
      expect_distribution("milkit::ops::draw_items", p.row(list.row(s)), size);
    }
    parallel_for(backend, list.count() * chunks, 1, [&](row_range task) {
      const std::int64_t s = task.first / chunks;
      const row_range own = chunk_at(size, chunk, task.first % chunks);
      const T* row = p.row(list.row(s));
      double* times = memory.times.row(s);
      const std::int64_t base = numbers(s) * size;
      for (std::int64_t i = own.first; i < own.first + own.count;) {
        double u[2];
        noise.two((base + i) / 2, u);
        for (std::int64_t half = (base + i) % 2; half < 2 && i < own.first + own.count; ++half, ++i) times[i] = u[half];
      }
      for (std::int64_t i = own.first; i < own.first + own.count; ++i) times[i] = ring_time(law, row[i], times[i]);
    });
    parallel_for(backend, list.count(), 1, [&](row_range rows) {
      const std::int64_t s = rows.first;
      first_to_ring(memory.times.row(s), size, memory.first.data() + list.offsets(s),
                    list.offsets(s + 1) - list.offsets(s), items.data() + list.offsets(s));
    });
  }

  template <class T>
  static item_memory scratch(cpu& backend, most_likely_step, matrix_view<const T> p, const draw_list<>& list,
                             vector_view<std::int32_t> items) {
    return {backend.workspace.allocate<double>(shape<2>{list.count(), p.cols()}),
            backend.workspace.allocate<ring>(items.extent(0))};
  }
  template <class T>
  static void run(cpu& backend, const item_memory& memory, most_likely_step, matrix_view<const T> p,
                  const draw_list<>& list, vector_view<std::int32_t> items) {
    parallel_for(backend, list.count(), 1, [&](row_range rows) {
      const std::int64_t s = rows.first;
      expect_items("milkit::ops::most_likely_items", p, list, s);
      const T* row = p.row(list.row(s));
      for (std::int64_t i = 0; i < p.cols(); ++i) memory.times.row(s)[i] = -static_cast<double>(row[i]);
      first_to_ring(memory.times.row(s), p.cols(), memory.first.data() + list.offsets(s),
                    list.offsets(s + 1) - list.offsets(s), items.data() + list.offsets(s));
    });
  }

  template <class T>
  static vector_view<double> scratch(cpu& backend, draw_weights_step, const draw_rule&, matrix_view<const T>,
                                     const draw_list<>& list, vector_view<T>, vector_view<T>) {
    return backend.workspace.allocate<double>(2 * list.items.extent(0));
  }
  template <class T>
  static void run(cpu& backend, vector_view<double> memory, draw_weights_step, const draw_rule& rule,
                  matrix_view<const T> p, const draw_list<>& list, vector_view<T> weights, vector_view<T> backward) {
    each_row(backend, p, list, [&](std::int64_t, const drawn_row<T>& row, std::int64_t first) {
      T* own = weights.data() + first;
      T* other = backward.absent() ? nullptr : backward.data() + first;
      const double rest = row.rest(one_lane());
      if (rule.estimator == draw_estimator::unordered)
        unordered_weights(row, rest, one_lane(), own, memory.data() + 2 * first);
      else simple_weights(rule, row, rest, own, other);
      if (other && rule.estimator != draw_estimator::official_zoom_in) std::copy_n(own, row.count, other);
    });
  }

  template <class T>
  static void run(cpu& backend, log_gradient_step, const draw_rule& rule, matrix_view<const T> p,
                  const draw_list<>& list, vector_view<const T> weights, vector_view<const T> a, vector_view<T> d) {
    each_row(backend, p, list, [&](std::int64_t, const drawn_row<T>& row, std::int64_t first) {
      draw_log_gradient(rule, row, one_lane(), weights.data() + first, a.data() + first, d.data() + first);
    });
  }

  template <class T>
  static void run(cpu& backend, logit_gradient_step, matrix_view<const T> p, const draw_list<>& list,
                  vector_view<const T> d, matrix_view<T> dlogits) {
    each_row(backend, p, list, [&](std::int64_t s, const drawn_row<T>& row, std::int64_t first) {
      double sum = 0;
      for (std::int64_t k = 0; k < row.count; ++k) sum += static_cast<double>(d(first + k));
      T* to = dlogits.row(list.row(s));
      for (std::int64_t i = 0; i < row.size; ++i) to[i] -= static_cast<T>(static_cast<double>(row.p[i]) * sum);
      for (std::int64_t k = 0; k < row.count; ++k) to[row.items[k]] += d(first + k);
    });
  }

  template <class T>
  static void run(cpu& backend, complement_step, matrix_view<const T> p, matrix_view<T> q) {
    parallel_for(backend, p.rows(), 1, [&](row_range rows) {
      const T* from = p.row(rows.first);
      double sum = 0;
      for (std::int64_t i = 0; i < p.cols(); ++i) sum += static_cast<double>(from[i]);
      for (std::int64_t i = 0; i < p.cols(); ++i)
        q.row(rows.first)[i] = complement_of(sum, static_cast<double>(from[i]), p.cols(), T());
    });
  }
  template <class T>
  static void run(cpu& backend, complement_gradient_step, matrix_view<const T> p, matrix_view<const T> q,
                  const draw_list<>& list, vector_view<T> d) {
    each_row(backend, p, list, [&](std::int64_t s, const drawn_row<T>& row, std::int64_t first) {
      for (std::int64_t k = 0; k < row.count; ++k)
        d(first + k) = complement_slope(d(first + k), row.p[row.items[k]], q(list.row(s), row.items[k]), row.size);
    });
  }

  template <class T>
  static void run(cpu& backend, expectation_step, const draw_list<>& list, vector_view<const T> weights,
                  matrix_view<const T> f, matrix_view<T> out) {
    parallel_for(backend, list.count(), 1, [&](row_range rows) {
      const std::int64_t s = rows.first;
      for (std::int64_t j = 0; j < f.cols(); ++j) {
        double sum = 0;
        for (std::int64_t k = list.offsets(s); k < list.offsets(s + 1); ++k)
          sum += static_cast<double>(weights(k)) * static_cast<double>(f(k, j));
        out(s, j) = static_cast<T>(sum);
      }
    });
  }
  template <class T>
  static void run(cpu& backend, expectation_backward_step, const draw_list<>& list, vector_view<const T> weights,
                  matrix_view<const T> f, matrix_view<const T> dout, vector_view<T> a, matrix_view<T> df) {
    parallel_for(backend, list.count(), 1, [&](row_range rows) {
      const std::int64_t s = rows.first;
      for (std::int64_t k = list.offsets(s); k < list.offsets(s + 1); ++k) {
        double dot = 0;
        for (std::int64_t j = 0; j < f.cols(); ++j)
          dot += static_cast<double>(dout(s, j)) * static_cast<double>(f(k, j));
        for (std::int64_t j = 0; j < f.cols() && !df.absent(); ++j) df(k, j) = weights(k) * dout(s, j);
        a(k) = static_cast<T>(dot);
      }
    });
  }

 private:
  template <class T>
  static void expect_items(std::string_view op, matrix_view<const T> p, const draw_list<>& list, std::int64_t s) {
    const std::int64_t n = list.offsets(s + 1) - list.offsets(s);
    expect_value(n >= 0 && n <= p.cols(), op, n, " draws without replacement from ", p.cols(),
                 " items; expected at most as many as there are");
    expect_value(list.row(s) >= 0 && list.row(s) < p.rows(), op, "row ", list.row(s), " of ", p.rows());
  }

  /// body(s, row, first) for the draws of each row.
  template <class T, class Body>
  static void each_row(cpu& backend, matrix_view<const T> p, const draw_list<>& list, Body&& body) {
    parallel_for(backend, list.count(), 1, [&](row_range rows) {
      const std::int64_t s = rows.first, first = list.offsets(s);
      body(s, drawn_row<T>{p.row(list.row(s)), p.cols(), list.items.data() + first, list.offsets(s + 1) - first},
           first);
    });
  }

  /// The n first of `size` clocks, in the order in which they ring: a heap of the first so far, the last of them on
  /// top.
  static void first_to_ring(const double* times, std::int64_t size, ring* heap, std::int64_t n, std::int32_t* items) {
    const auto before = [](const ring& a, const ring& b) { return rings_before(a.time, a.item, b.time, b.item); };
    if (n == 0) return;
    for (std::int64_t i = 0; i < size; ++i) {
      const ring own{times[i], static_cast<std::int32_t>(i)};
      if (i < n) {
        heap[i] = own;
        std::push_heap(heap, heap + i + 1, before);
      } else if (before(own, heap[0])) {
        std::pop_heap(heap, heap + n, before);
        heap[n - 1] = own;
        std::push_heap(heap, heap + n, before);
      }
    }
    std::sort_heap(heap, heap + n, before);
    for (std::int64_t k = 0; k < n; ++k) items[k] = heap[k].item;
  }
};

MILKIT_COMPILED_OP(draws_impl, draw_counts_step, drawn_uniforms, vector_view<const T>, std::int64_t, bool,
                   vector_view<std::int64_t>);
MILKIT_COMPILED_OP(draws_impl, draw_items_step, drawn_uniforms, draw_law, matrix_view<const T>, draw_list<host_space>,
                   vector_view<const std::int64_t>, vector_view<std::int32_t>);
MILKIT_COMPILED_OP(draws_impl, most_likely_step, matrix_view<const T>, draw_list<host_space>,
                   vector_view<std::int32_t>);
MILKIT_COMPILED_OP(draws_impl, draw_weights_step, draw_rule, matrix_view<const T>, draw_list<host_space>,
                   vector_view<T>, vector_view<T>);
MILKIT_COMPILED_OP(draws_impl, log_gradient_step, draw_rule, matrix_view<const T>, draw_list<host_space>,
                   vector_view<const T>, vector_view<const T>, vector_view<T>);
MILKIT_COMPILED_OP(draws_impl, logit_gradient_step, matrix_view<const T>, draw_list<host_space>, vector_view<const T>,
                   matrix_view<T>);
MILKIT_COMPILED_OP(draws_impl, complement_step, matrix_view<const T>, matrix_view<T>);
MILKIT_COMPILED_OP(draws_impl, complement_gradient_step, matrix_view<const T>, matrix_view<const T>,
                   draw_list<host_space>, vector_view<T>);
MILKIT_COMPILED_OP(draws_impl, expectation_step, draw_list<host_space>, vector_view<const T>, matrix_view<const T>,
                   matrix_view<T>);
MILKIT_COMPILED_OP(draws_impl, expectation_backward_step, draw_list<host_space>, vector_view<const T>,
                   matrix_view<const T>, matrix_view<const T>, vector_view<T>, matrix_view<T>);

}  // namespace milkit::ops::detail
