#pragma once

#include <algorithm>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/conv2d.hpp>
#include <milkit/ops/images/conv2d/dweight_cpu.hpp>
#include <milkit/ops/images/conv2d/vectors_cpu.hpp>
#include <milkit/ops/images/conv2d/windows_cpu.hpp>
#include <milkit/ops/products/matmul/gemm_cpu.hpp>

namespace milkit::ops::detail {

/// How a convolution's gradients are computed. dweight: on vectors along output channels, but that of a kernel of one
/// pixel by products. dx of stride 1: as the convolution of dy with the kernel turned around, with zeros of kernel - 1 -
/// padding, where `vector_conv2d` has one; else by a product and by folding it.
template <class T>
struct conv2d_backward_plan {
  static constexpr std::int64_t parts_bytes = 2 << 20, least_parts = 4, most_parts = 32;

  conv2d_bands<T> bands;
  serial_gemm<T> dweight_product, dx_product;  ///< dweight += dy columns^T and columns = weight^T dy
  channel_dweight<T> dweight;
  vector_conv2d<T> dx;
  bool dweight_on_vectors, dx_on_vectors, dx_by_product;
  std::int64_t image_tasks, tasks, group;  ///< bands of an image, of all, and how many have a part of dweight together
  std::int64_t part_size;

  conv2d_backward_plan(const cpu& backend, const shape<4>& x, const shape<4>& weight, const shape<4>& dy, bool wants_dx,
                       const conv2d_options& options)
      : bands(x, weight, dy, options),
        dweight_product(backend, false, true, bands.out, bands.terms, bands.pixels(bands.rows)),
        dx_product(backend, true, false, bands.terms, bands.pixels(bands.rows), bands.out),
        dweight(x, weight, dy, options),
        dx(dy, turned_shape(weight), x, turned_options(weight, options)) {
    const auto [up, left] = turned_options(weight, options).padding;
    const bool same_stride = options.stride[0] == 1 && options.stride[1] == 1 && up >= 0 && left >= 0;
    dweight_on_vectors = weight[2] * weight[3] > 1;
    dx_on_vectors = wants_dx && same_stride && dweight_on_vectors && dx.fits();
    dx_by_product = wants_dx && !dx_on_vectors;
    image_tasks = dweight_on_vectors ? dweight.bands() : 1;
    tasks = x[0] * image_tasks;
    part_size = dweight_on_vectors ? dweight.part_size() : bands.out * bands.terms;
    const std::int64_t part_bytes = (std::max)(part_size * std::int64_t{sizeof(T)}, std::int64_t{1});
    group =
        (std::max)(chunk_count(tasks, std::clamp(parts_bytes / part_bytes, least_parts, most_parts)), std::int64_t{1});
  }

  static shape<4> turned_shape(const shape<4>& weight) { return {weight[1], weight[0], weight[2], weight[3]}; }
  static conv2d_options turned_options(const shape<4>& weight, const conv2d_options& options) {
    return {.padding = {weight[2] - 1 - options.padding[0], weight[3] - 1 - options.padding[1]}};
  }

  bool uses_products() const { return !dweight_on_vectors || dx_by_product; }
  row_range task_rows(std::int64_t task) const {
    return dweight_on_vectors ? dweight.rows(task) : row_range{0, bands.out_height};
  }
  /// Which weight's gradient is element i of a part, or -1.
  std::int64_t place(std::int64_t i) const { return dweight_on_vectors ? dweight.place(i) : i; }
  std::int64_t groups() const { return chunk_count(tasks, group); }
  /// Elements of a thread's memory.
  std::int64_t memory_size() const {
    const std::int64_t packing = (std::max)(dweight_on_vectors ? 0 : dweight_product.packing_size(),
                                            dx_by_product ? dx_product.packing_size() : 0);
    return (std::max)(uses_products() ? conv2d_memory<T>::size(bands, packing) : 0,
                      dweight_on_vectors ? conv2d_memory<T>::aligned(dweight.memory_size()) : 0);
  }
};

template <>
struct conv2d_backward_impl<cpu> {
  template <class T>
  struct memory {
    matrix_view<T> threads;
    matrix_view<T> dweight;  ///< a row for each group
    matrix_view<double> dbias;
    view<T, 4> turned;  ///< the weights for dx, and what the convolution needs
    typename vector_conv2d<T>::memory dx;
  };

  template <class T>
  static memory<T> scratch(cpu& backend, image_view<const T> x, image_view<const T> weight, image_view<const T> dy,
                           image_view<T> dx, image_view<T>, vector_view<T>, const conv2d_options& options) {
    const conv2d_backward_plan<T> plan(backend, x.shape(), weight.shape(), dy.shape(), !dx.absent(), options);
    const std::int64_t most = (std::max)(plan.groups(), plan.dx_by_product ? x.rows() : 0);
    auto& workspace = backend.workspace;
    memory<T> m;
    m.threads =
        workspace.allocate<T>(shape<2>{(std::min)(most, std::int64_t{backend.thread_count()}), plan.memory_size()});
    m.dweight = workspace.allocate<T>(shape<2>{plan.groups(), plan.part_size});
    m.dbias = workspace.allocate<double>(shape<2>{plan.groups(), weight.extent(0)});
    if (plan.dx_on_vectors) {
      m.turned = workspace.allocate<T>(plan.turned_shape(weight.shape()));
      m.dx = plan.dx.scratch(backend);
    }
    return m;
  }

  template <class T>
  static void run(cpu& backend, const memory<T>& memory, image_view<const T> x, image_view<const T> weight,
                  image_view<const T> dy, image_view<T> dx, image_view<T> dweight, vector_view<T> dbias,
                  const conv2d_options& options) {
    const conv2d_backward_plan<T> plan(backend, x.shape(), weight.shape(), dy.shape(), !dx.absent(), options);
    parallel_for(backend, plan.tasks, plan.group, [&](row_range tasks, int thread) {
      T *part = memory.dweight.row(tasks.first / plan.group), *own = memory.threads.row(thread);
      double* bias_part = memory.dbias.row(tasks.first / plan.group);
      if (!plan.dweight_on_vectors) std::fill_n(part, plan.part_size, T(0));
      std::fill_n(bias_part, plan.bands.out, 0.0);
      for (std::int64_t i = tasks.first; i < tasks.first + tasks.count; ++i) {
        const std::int64_t image = i / plan.image_tasks, band = i % plan.image_tasks;
        if (!dbias.absent()) add_sums(plan.bands, plan.task_rows(band), dy.row(image), bias_part);
        if (plan.dweight_on_vectors) plan.dweight.run(band, x.row(image), dy.row(image), i > tasks.first, part, own);
        else multiply_dweight(plan, x.row(image), dy.row(image), part, own);
      }
    });
    add_parts(backend, memory.dweight, dweight.data(), [&](std::int64_t i) { return plan.place(i); });
    if (!dbias.absent()) add_parts(backend, memory.dbias, dbias.data(), [](std::int64_t i) { return i; });
    if (plan.dx_by_product)
      parallel_for(backend, x.rows(), 1, [&](row_range image, int thread) {
        multiply_dx(plan, weight.data(), dy.row(image.first), dx.row(image.first), memory.threads.row(thread));
      });
    if (plan.dx_on_vectors) {
      turn(backend, weight, memory.turned);
      plan.dx.run(backend, memory.dx, dy, view<const T, 4>(memory.turned), {}, dx, {});
    }
  }

 private:
  /// dweight += dy columns^T for one image.
  template <class T>
  static void multiply_dweight(const conv2d_backward_plan<T>& plan, const T* x, const T* dy, T* dweight, T* memory) {
    const conv2d_bands<T>& b = plan.bands;
    const conv2d_memory<T> own(b, memory);
    for (std::int64_t i = 0; i < b.bands; ++i) {
      const row_range band = chunk_at(b.out_height, b.rows, i);
      const std::int64_t first = band.first * b.out_width, pixels = b.pixels(band.count);
      if (b.unfolds) {
        b.load(band, x, own.patch);
        b.unfold(band, own.patch, own.columns);
      }
      plan.dweight_product(b.out, b.terms, pixels, dy + first, b.plane(), b.unfolds ? own.columns : x + first,
                           b.unfolds ? pixels : b.plane(), true, dweight, b.terms, own.packing);
    }
  }

  /// columns = weight^T dy for one image, folded into dx.
  template <class T>
  static void multiply_dx(const conv2d_backward_plan<T>& plan, const T* weight, const T* dy, T* dx, T* memory) {
    const conv2d_bands<T>& b = plan.bands;
    const conv2d_memory<T> own(b, memory);
    if (b.unfolds) std::fill_n(dx, b.channels * b.height * b.width, T(0));
    for (std::int64_t i = 0; i < b.bands; ++i) {
      const row_range band = chunk_at(b.out_height, b.rows, i);
      const std::int64_t first = band.first * b.out_width, pixels = b.pixels(band.count);
      plan.dx_product(b.terms, pixels, b.out, weight, b.terms, dy + first, b.plane(), false,
                      b.unfolds ? own.columns : dx + first, b.unfolds ? pixels : b.plane(), own.packing);
      if (!b.unfolds) continue;
      b.fold(band, own.columns, own.patch);
      b.add(band, own.patch, dx);
    }
  }

  /// to[c, o, u, v] = weight[o, c, height - 1 - u, width - 1 - v].
  template <class T>
  static void turn(cpu& backend, view<const T, 4> weight, view<T, 4> to) {
    const std::int64_t taps = weight.extent(2) * weight.extent(3), out = weight.rows();
    parallel_for(backend, to.rows(), (std::max)(std::int64_t{1}, 65536 / (std::max)(out * taps, std::int64_t{1})),
                 [&](row_range channels) {
                   for (std::int64_t c = channels.first; c < channels.first + channels.count; ++c)
                     for (std::int64_t o = 0; o < out; ++o)
                       std::reverse_copy(weight.row(o) + c * taps, weight.row(o) + (c + 1) * taps,
                                         to.row(c) + o * taps);
                 });
  }

  /// dbias += sums over the pixels of some rows.
  template <class T>
  static void add_sums(const conv2d_bands<T>& b, row_range rows, const T* dy, double* dbias) {
    for (std::int64_t o = 0; o < b.out; ++o)
      dbias[o] += sum(dy + o * b.plane() + rows.first * b.out_width, rows.count * b.out_width);
  }

  /// In lanes from the first element on: Eigen's sum begins at an aligned one, so that its bits depend on the address.
  template <class T>
  static double sum(const T* x, std::int64_t count) {
    constexpr std::int64_t width = 32;
    double lanes[width] = {};
    const std::int64_t whole = count / width * width;
    for (std::int64_t i = 0; i < whole; i += width)
      for (int k = 0; k < width; ++k) lanes[k] += static_cast<double>(x[i + k]);
    for (std::int64_t i = whole; i < count; ++i) lanes[i - whole] += static_cast<double>(x[i]);
    for (int half = width / 2; half > 0; half /= 2)
      for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
    return lanes[0];
  }

  /// to[place(i)] += sum over the parts, in order and in double, of element i; not where the place is -1.
  template <class Part, class T, class Place>
  static void add_parts(cpu& backend, matrix_view<Part> parts, T* to, const Place& place) {
    parallel_for(backend, parts.cols(), 1024, [&](row_range range) {
      double total[1024] = {};
      for (std::int64_t i = 0; i < parts.rows(); ++i) {
        const Part* part = parts.row(i) + range.first;
        for (std::int64_t j = 0; j < range.count; ++j) total[j] += static_cast<double>(part[j]);
      }
      for (std::int64_t j = 0; j < range.count; ++j)
        if (const std::int64_t at = place(range.first + j); at >= 0) to[at] += static_cast<T>(total[j]);
    });
  }
};

}  // namespace milkit::ops::detail
