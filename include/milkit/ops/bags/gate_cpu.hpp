#pragma once

#include <milkit/core/compiled.hpp>
#include <milkit/ops/bags/gate.hpp>
#include <milkit/ops/rows/activation_cpu.hpp>

namespace milkit::ops::detail {

template <>
struct gate_impl<cpu> {
  template <class Function, class T>
  static void run(cpu& backend, const gate_shape& gate, Function f, matrix_view<T> branches,
                  vector_view<const T> branch_bias, matrix_view<const T> w, vector_view<const T> bias,
                  matrix_view<const std::uint8_t> mask, T scale, matrix_view<T> logits) {
    const std::int64_t width = gate.width;
    parallel_for(backend, branches.rows(), 16, [&](row_range rows) {
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i) {
        T* row = branches.row(i);
        if (!branch_bias.absent()) array_of(row, gate.columns()) += array_of(branch_bias.data(), gate.columns());
        for (int h = 0; h < gate.heads; ++h) {
          T* v = row + h * gate.branches * width;
          T* u = v + width;
          if constexpr (Function::slope_from_output) activate_row(f, v, v, width);
          if (gate.branches == 2) activate_row(sigmoid_function{}, u, u, width);
          const std::uint8_t* kept = mask.absent() ? nullptr : mask.row(i) + h * gate.branches * width;
          logits(i, h) =
              score<Function>(gate.branches, v, u, w.row(h), width, kept, scale) + (bias.absent() ? T(0) : bias(h));
        }
      }
    });
  }

 private:
  template <class Function, class T>
  static T score(int branches, const T* v, const T* u, const T* w, std::int64_t width, const std::uint8_t* kept,
                 T scale) {
    if constexpr (Function::slope_from_output) {
      if (!kept)
        return branches == 2 ? (array_of(v, width) * array_of(u, width) * array_of(w, width)).sum()
                             : (array_of(v, width) * array_of(w, width)).sum();
    }
    constexpr std::int64_t block = 256;
    T terms[block], sum = 0;
    for (std::int64_t first = 0; first < width; first += block) {
      const std::int64_t count = (std::min)(block, width - first);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t j = first + i;
        const T t = Function::slope_from_output ? v[j] : Function::value(v[j]), scaled = t * scale;
        terms[i] = w[j] * (!kept ? t : kept[j] ? scaled : T(0));
      }
      if (branches == 2)
        for (std::int64_t i = 0; i < count; ++i) {
          const std::int64_t j = first + i;
          const T scaled = u[j] * scale;
          terms[i] *= !kept ? u[j] : kept[width + j] ? scaled : T(0);
        }
      sum += array_of(terms, count).sum();
    }
    return sum;
  }
};

template <>
struct gate_backward_impl<cpu> {
  /// Rows that one thread sums into its own dw before the sums are added in order.
  static std::int64_t block_rows(std::int64_t rows) { return rows <= 512 ? 32 : 256; }

  template <class T>
  static matrix_view<double> scratch(cpu& backend, const gate_shape& gate, auto, matrix_view<T> branches, auto&&...) {
    return backend.workspace.allocate<double>(
        shape<2>{chunk_count(branches.rows(), block_rows(branches.rows())), gate.heads * (gate.width + 1)});
  }

  template <class Function, class T>
  static void run(cpu& backend, matrix_view<double> partial, const gate_shape& gate, Function, matrix_view<T> branches,
                  matrix_view<const T> w, matrix_view<const std::uint8_t> mask, T scale, matrix_view<const T> dlogits,
                  matrix_view<T> dw, vector_view<T> dbias) {
    const std::int64_t width = gate.width;
    const std::int64_t block = block_rows(branches.rows());
    parallel_for(backend, branches.rows(), block, [&](row_range rows) {
      double* sums = partial.row(rows.first / block);
      std::fill_n(sums, partial.cols(), 0.0);
      for (std::int64_t i = rows.first; i < rows.first + rows.count; ++i)
        for (int h = 0; h < gate.heads; ++h) {
          const std::int64_t at = h * gate.branches * width;
          const std::uint8_t* kept = mask.absent() ? nullptr : mask.row(i) + at;
          double* dw_sums = sums + h * (width + 1);
          const T dz = dlogits(i, h);
          dw_sums[width] += static_cast<double>(dz);
          if (gate.branches == 2)
            kept ? two<Function, true>(branches.row(i) + at, w.row(h), kept, scale, dz, dw_sums, width)
                 : two<Function, false>(branches.row(i) + at, w.row(h), kept, scale, dz, dw_sums, width);
          else
            kept ? one<Function, true>(branches.row(i) + at, w.row(h), kept, scale, dz, dw_sums, width)
                 : one<Function, false>(branches.row(i) + at, w.row(h), kept, scale, dz, dw_sums, width);
        }
    });
    for (int h = 0; h < gate.heads; ++h)
      for (std::int64_t j = 0; j <= width; ++j) {
        double sum = 0;
        for (std::int64_t b = 0; b < partial.rows(); ++b) sum += partial(b, h * (width + 1) + j);
        if (j < width) dw(h, j) += static_cast<T>(sum);
        else if (!dbias.absent()) dbias(h) += static_cast<T>(sum);
      }
  }

 private:
  /// f and its slope at an entry as forward left it.
  template <class Function, class T>
  static T output(T stored) {
    return Function::slope_from_output ? stored : Function::value(stored);
  }

  template <class Function, bool Dropout, class T>
  static void two(T* __restrict v, const T* __restrict w, const std::uint8_t* __restrict kept, T scale, T dz,
                  double* __restrict dw, std::int64_t width) {
    T* u = v + width;
    for (std::int64_t j = 0; j < width; ++j) {
      const T keep_v = Dropout ? (kept[j] ? scale : T(0)) : T(1);
      const T keep_u = Dropout ? (kept[width + j] ? scale : T(0)) : T(1);
      const T t = output<Function>(v[j]), s = u[j];
      const T t_kept = Dropout ? t * keep_v : t, s_kept = Dropout ? s * keep_u : s;
      const T upstream = dz * w[j];
      dw[j] += static_cast<double>(dz * t_kept * s_kept);
      v[j] = upstream * s_kept * keep_v * Function::slope(v[j], t);
      u[j] = upstream * t_kept * keep_u * s * (T(1) - s);
    }
  }

  template <class Function, bool Dropout, class T>
  static void one(T* __restrict v, const T* __restrict w, const std::uint8_t* __restrict kept, T scale, T dz,
                  double* __restrict dw, std::int64_t width) {
    for (std::int64_t j = 0; j < width; ++j) {
      const T keep_v = Dropout ? (kept[j] ? scale : T(0)) : T(1);
      const T t = output<Function>(v[j]);
      dw[j] += static_cast<double>(dz * t * keep_v);
      v[j] = dz * w[j] * keep_v * Function::slope(v[j], t);
    }
  }
};

MILKIT_COMPILED_OP(gate_impl, gate_shape, relu_function, matrix_view<T>, vector_view<const T>, matrix_view<const T>,
                   vector_view<const T>, matrix_view<const std::uint8_t>, T, matrix_view<T>);
MILKIT_COMPILED_OP(gate_backward_impl, gate_shape, relu_function, matrix_view<T>, matrix_view<const T>,
                   matrix_view<const std::uint8_t>, T, matrix_view<const T>, matrix_view<T>, vector_view<T>);
MILKIT_COMPILED_OP(gate_impl, gate_shape, tanh_function, matrix_view<T>, vector_view<const T>, matrix_view<const T>,
                   vector_view<const T>, matrix_view<const std::uint8_t>, T, matrix_view<T>);
MILKIT_COMPILED_OP(gate_backward_impl, gate_shape, tanh_function, matrix_view<T>, matrix_view<const T>,
                   matrix_view<const std::uint8_t>, T, matrix_view<const T>, matrix_view<T>, vector_view<T>);
MILKIT_COMPILED_OP(gate_impl, gate_shape, gelu_function, matrix_view<T>, vector_view<const T>, matrix_view<const T>,
                   vector_view<const T>, matrix_view<const std::uint8_t>, T, matrix_view<T>);
MILKIT_COMPILED_OP(gate_backward_impl, gate_shape, gelu_function, matrix_view<T>, matrix_view<const T>,
                   matrix_view<const std::uint8_t>, T, matrix_view<const T>, matrix_view<T>, vector_view<T>);

}  // namespace milkit::ops::detail
