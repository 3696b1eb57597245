#pragma once

#include <algorithm>
#include <type_traits>

#include <milkit/core/compiled.hpp>
#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>
#include <milkit/ops/images/conv2d/backward_cpu.hpp>
#include <milkit/ops/images/conv2d/vectors_cpu.hpp>
#include <milkit/ops/images/conv2d/windows_cpu.hpp>
#include <milkit/ops/products/matmul/gemm_cpu.hpp>

namespace milkit::ops::detail {

template <>
struct conv2d_impl<cpu> {
  /// Whether a convolution is computed without products: where there is no library for them and vectors are well filled.
  template <class T>
  static bool on_vectors(const cpu& backend, const vector_conv2d<T>& vectors) {
    if constexpr (std::is_same_v<T, float>) return !backend.gemm.single && vectors.fits();
    else return !backend.gemm.double_ && vectors.fits();
  }

  template <class T>
  static serial_gemm<T> product(const cpu& backend, const conv2d_bands<T>& b) {
    return {backend, false, false, b.out, b.pixels(b.rows), b.terms};
  }

  template <class T>
  static typename vector_conv2d<T>::memory scratch(cpu& backend, image_view<const T> x, image_view<const T> weight,
                                                   vector_view<const T>, image_view<T> y, const conv2d_options& options,
                                                   const conv2d_finish<T, host_space>&) {
    const vector_conv2d<T> vectors(x.shape(), weight.shape(), y.shape(), options);
    if (on_vectors(backend, vectors)) return vectors.scratch(backend);
    const conv2d_bands<T> b(x.shape(), weight.shape(), y.shape(), options);
    const std::int64_t tasks = chunk_count(x.rows() * b.bands, bands_at_once(b.terms * b.pixels(b.rows)));
    return {backend.workspace.allocate<T>(shape<2>{(std::min)(tasks, std::int64_t{backend.thread_count()}),
                                                   conv2d_memory<T>::size(b, product(backend, b).packing_size())}),
            {}};
  }

  template <class T>
  static void run(cpu& backend, const typename vector_conv2d<T>::memory& memory, image_view<const T> x,
                  image_view<const T> weight, vector_view<const T> bias, image_view<T> y, const conv2d_options& options,
                  const conv2d_finish<T, host_space>& finish) {
    const vector_conv2d<T> vectors(x.shape(), weight.shape(), y.shape(), options);
    if (on_vectors(backend, vectors)) vectors.run(backend, memory, x, weight, bias, y, finish);
    else multiply(backend, memory.threads, x, weight, bias, y, options, finish);
  }

 private:
  template <class T>
  static void multiply(cpu& backend, matrix_view<T> memory, image_view<const T> x, image_view<const T> weight,
                       vector_view<const T> bias, image_view<T> y, const conv2d_options& options,
                       const conv2d_finish<T, host_space>& finish) {
    const conv2d_bands<T> b(x.shape(), weight.shape(), y.shape(), options);
    const serial_gemm<T> gemm = product(backend, b);
    parallel_for(
        backend, x.rows() * b.bands, bands_at_once(b.terms * b.pixels(b.rows)), [&](row_range tasks, int thread) {
          const conv2d_memory<T> own(b, memory.row(thread));
          for (std::int64_t task = tasks.first; task < tasks.first + tasks.count; ++task) {
            const row_range band = chunk_at(b.out_height, b.rows, task % b.bands);
            const T* image = x.row(task / b.bands);
            const std::int64_t first = band.first * b.out_width, pixels = b.pixels(band.count);
            T* output = y.row(task / b.bands) + first;
            const T* residual = finish.residual.absent() ? nullptr : finish.residual.row(task / b.bands) + first;
            for (std::int64_t o = 0; o < b.out; ++o) {
              T* to = output + o * b.plane();
              std::fill_n(to, pixels, bias.absent() ? T(0) : bias(o));
              for (std::int64_t i = 0; residual && i < pixels; ++i) to[i] += residual[o * b.plane() + i];
            }
            if (b.unfolds) {
              b.load(band, image, own.patch);
              b.unfold(band, own.patch, own.columns);
            }
            gemm(b.out, pixels, b.terms, weight.data(), b.terms, b.unfolds ? own.columns : image + first,
                 b.unfolds ? pixels : b.plane(), true, output, b.plane(), own.packing);
            for (std::int64_t o = 0; finish.relu && o < b.out; ++o)
              for (T* at = output + o * b.plane(); at < output + o * b.plane() + pixels; ++at)
                *at = *at < T(0) ? T(0) : *at;
          }
        });
  }
};

MILKIT_COMPILED_OP(conv2d_impl, image_view<const T>, image_view<const T>, vector_view<const T>, image_view<T>,
                   conv2d_options, conv2d_finish<T, host_space>);
MILKIT_COMPILED_OP(conv2d_backward_impl, image_view<const T>, image_view<const T>, image_view<const T>, image_view<T>,
                   image_view<T>, vector_view<T>, conv2d_options);

}  // namespace milkit::ops::detail
