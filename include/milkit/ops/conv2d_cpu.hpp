#pragma once

#include <algorithm>
#include <cstring>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/conv2d.hpp>
#include <milkit/ops/conv2d_direct_cpu.hpp>
#include <milkit/ops/gemm_cpu.hpp>

namespace milkit::ops::detail {

/// A convolution cut into bands of output rows, so that a band's unfolded windows [terms, pixels] stay in the
/// second-level cache. A band's input rows are first copied to a `patch` [channels, patch rows, pitch] with the zeros
/// around the image in place: so unfolding has no borders to mind, and may read and write `slack` elements too far.
template <class T>
struct conv2d_bands {
  static constexpr std::int64_t slack = 8;
  static constexpr std::int64_t band_bytes = 256 << 10;
  static constexpr std::int64_t least_pixels = 64;

  std::int64_t channels, height, width, out, kernel_height, kernel_width, out_height, out_width, stride_y, stride_x,
      pad_y, pad_x;
  std::int64_t terms;                ///< of one output element: channels kernel_height kernel_width
  std::int64_t rows = 1, bands = 1;  ///< output rows a band, bands an image
  std::int64_t pitch, patch_size, column_size;
  bool unfolds;  ///< false where the input itself is the matrix of windows

  conv2d_bands(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& options)
      : channels(x[1]),
        height(x[2]),
        width(x[3]),
        out(weight[0]),
        kernel_height(weight[2]),
        kernel_width(weight[3]),
        out_height(y[2]),
        out_width(y[3]),
        stride_y(options.stride[0]),
        stride_x(options.stride[1]),
        pad_y(options.padding[0]),
        pad_x(options.padding[1]),
        terms(weight.row_size()) {
    const std::int64_t row_bytes = (std::max)(terms * out_width * std::int64_t{sizeof(T)}, std::int64_t{1});
    const std::int64_t most = (std::max)(band_bytes / row_bytes, chunk_count(least_pixels, out_width));
    bands = chunk_count(out_height, (std::min)(most, out_height));
    rows = chunk_count(out_height, bands);
    bands = chunk_count(out_height, rows);
    unfolds = kernel_height * kernel_width * stride_y * stride_x != 1 || pad_y + pad_x != 0;
    pitch = (out_width - 1) * stride_x + kernel_width;
    patch_size = unfolds ? channels * patch_rows(rows) * pitch + slack : 0;
    column_size = unfolds ? terms * pixels(rows) + slack : 0;
  }

  std::int64_t pixels(std::int64_t band_rows) const { return band_rows * out_width; }
  std::int64_t plane() const { return out_height * out_width; }
  std::int64_t patch_rows(std::int64_t band_rows) const { return (band_rows - 1) * stride_y + kernel_height; }

  /// Calls `row(image row, patch row, length)` for every row of the patch that meets the image, with pointers to the
  /// first elements that do.
  template <class Image, class Row>
  void each_row(row_range band, Image* image, T* patch, Row&& row) const {
    const std::int64_t first = (std::max)(std::int64_t{0}, -(band.first * stride_y - pad_y));
    const std::int64_t last = (std::min)(patch_rows(band.count), height - (band.first * stride_y - pad_y));
    const std::int64_t length = (std::min)(pitch - pad_x, width);
    for (std::int64_t c = 0; c < channels && length > 0; ++c)
      for (std::int64_t y = first; y < last; ++y)
        row(image + (c * height + band.first * stride_y - pad_y + y) * width,
            patch + (c * patch_rows(band.count) + y) * pitch + pad_x, length);
  }

  void load(row_range band, const T* image, T* patch) const {
    std::fill_n(patch, channels * patch_rows(band.count) * pitch + slack, T(0));
    each_row(band, image, patch, [](const T* from, T* to, std::int64_t n) { std::copy_n(from, n, to); });
  }
  void add(row_range band, T* patch, T* image) const {
    each_row(band, image, patch, [](T* to, const T* from, std::int64_t n) {
      for (std::int64_t i = 0; i < n; ++i) to[i] += from[i];
    });
  }

  /// Calls `line(patch, columns)` for each run of one output row in the matrix of windows, in the order of its memory.
  template <class Line>
  void each_line(row_range band, T* patch, T* columns, Line&& line) const {
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t u = 0; u < kernel_height; ++u)
        for (std::int64_t v = 0; v < kernel_width; ++v) {
          T* from = patch + (c * patch_rows(band.count) + u) * pitch + v;
          for (std::int64_t y = 0; y < band.count; ++y, from += stride_y * pitch, columns += out_width)
            line(from, columns);
        }
  }

  void unfold(row_range band, T* patch, T* columns) const {
    if (stride_x == 1)  // whole vectors: what is written too far, the next line overwrites
      each_line(band, patch, columns, [&](const T* from, T* to) {
        for (std::int64_t x = 0; x < out_width; x += slack) std::memcpy(to + x, from + x, slack * sizeof(T));
      });
    else
      each_line(band, patch, columns, [&](const T* from, T* to) {
        for (std::int64_t x = 0; x < out_width; ++x) to[x] = from[x * stride_x];
      });
  }
  void fold(row_range band, T* columns, T* patch) const {
    std::fill_n(patch, channels * patch_rows(band.count) * pitch, T(0));
    if (stride_x == 1)
      each_line(band, patch, columns, [&](T* to, const T* from) {
        for (std::int64_t x = 0; x < out_width; ++x) to[x] += from[x];
      });
    else
      each_line(band, patch, columns, [&](T* to, const T* from) {
        for (std::int64_t x = 0; x < out_width; ++x) to[x * stride_x] += from[x];
      });
  }
};

/// The three pieces of one thread's memory.
template <class T>
struct conv2d_memory {
  T *patch, *columns, *packing;
  conv2d_memory(const conv2d_bands<T>& bands, T* memory)
      : patch(memory), columns(patch + aligned(bands.patch_size)), packing(columns + aligned(bands.column_size)) {}
  static std::int64_t aligned(std::int64_t count) { return (count + 15) / 16 * 16; }
  static std::int64_t size(const conv2d_bands<T>& bands, std::int64_t packing) {
    return aligned(bands.patch_size) + aligned(bands.column_size) + aligned(packing);
  }
};

template <>
struct conv2d_impl<cpu> {
  /// Bands a thread takes at a time: small ones together, so that handing them out costs nothing.
  static std::int64_t chunk(std::int64_t band_terms) {
    return (std::max)(std::int64_t{1}, 8192 / (std::max)(band_terms, std::int64_t{1}));
  }

  /// Whether a convolution is computed without products: where there is no library for them and vectors are well filled.
  template <class T>
  static bool is_direct(const cpu& backend, const direct_conv2d<T>& direct) {
    if constexpr (std::is_same_v<T, float>) return !backend.gemm.single && direct.fits();
    else return !backend.gemm.double_ && direct.fits();
  }

  template <class T>
  static serial_gemm<T> product(const cpu& backend, const conv2d_bands<T>& b) {
    return {backend, false, false, b.out, b.pixels(b.rows), b.terms};
  }

  template <class T>
  static matrix_view<T> scratch(cpu& backend, image_view<const T> x, image_view<const T> weight, vector_view<const T>,
                                image_view<T> y, const conv2d_options& options, const conv2d_finish<T, host_space>&) {
    const auto memory = [&](std::int64_t tasks, std::int64_t tasks_at_once, std::int64_t size) {
      return backend.workspace.allocate<T>(
          shape<2>{(std::min)(chunk_count(tasks, tasks_at_once), std::int64_t{backend.thread_count()}), size});
    };
    const direct_conv2d<T> direct(x.shape(), weight.shape(), y.shape(), options);
    if (is_direct(backend, direct))
      return memory(x.rows() * direct.bands(), chunk(direct.band_terms()), direct.patch_size());
    const conv2d_bands<T> b(x.shape(), weight.shape(), y.shape(), options);
    return memory(x.rows() * b.bands, chunk(b.terms * b.pixels(b.rows)),
                  conv2d_memory<T>::size(b, product(backend, b).packing_size()));
  }

  template <class T>
  static void run(cpu& backend, matrix_view<T> memory, image_view<const T> x, image_view<const T> weight,
                  vector_view<const T> bias, image_view<T> y, const conv2d_options& options,
                  const conv2d_finish<T, host_space>& finish) {
    const direct_conv2d<T> direct(x.shape(), weight.shape(), y.shape(), options);
    if (!is_direct(backend, direct)) return multiply(backend, memory, x, weight, bias, y, options, finish);
    parallel_for(backend, x.rows() * direct.bands(), chunk(direct.band_terms()), [&](row_range tasks, int thread) {
      for (std::int64_t task = tasks.first; task < tasks.first + tasks.count; ++task)
        direct.run(task % direct.bands(), task / direct.bands(), x, weight, bias, y, finish, memory.row(thread));
    });
  }

 private:
  template <class T>
  static void multiply(cpu& backend, matrix_view<T> memory, image_view<const T> x, image_view<const T> weight,
                       vector_view<const T> bias, image_view<T> y, const conv2d_options& options,
                       const conv2d_finish<T, host_space>& finish) {
    const conv2d_bands<T> b(x.shape(), weight.shape(), y.shape(), options);
    const serial_gemm<T> gemm = product(backend, b);
    parallel_for(backend, x.rows() * b.bands, chunk(b.terms * b.pixels(b.rows)), [&](row_range tasks, int thread) {
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

template <>
struct conv2d_backward_impl<cpu> {
  static constexpr std::int64_t parts_bytes = 2 << 20, least_parts = 4, least_images = 4;

  template <class T>
  struct memory {
    matrix_view<T> threads;
    matrix_view<T> dweight;  ///< a row for each group of images
    matrix_view<double> dbias;
  };

  /// dweight += dy columns^T and columns = weight^T dy.
  template <class T>
  struct products {
    serial_gemm<T> dweight, dx;
    products(const cpu& backend, const conv2d_bands<T>& b)
        : dweight(backend, false, true, b.out, b.terms, b.pixels(b.rows)),
          dx(backend, true, false, b.terms, b.pixels(b.rows), b.out) {}
  };

  /// Images in a group: so many that the groups' parts of the weight gradient stay small.
  template <class T>
  static std::int64_t group_images(std::int64_t images, const conv2d_bands<T>& b) {
    const std::int64_t part_bytes = (std::max)(b.out * b.terms * std::int64_t{sizeof(T)}, std::int64_t{1});
    const std::int64_t groups = (std::max)(least_parts, parts_bytes / part_bytes);
    return (std::max)(least_images, chunk_count(images, groups));
  }

  template <class T>
  static memory<T> scratch(cpu& backend, image_view<const T> x, image_view<const T> weight, image_view<const T> dy,
                           image_view<T>, image_view<T>, vector_view<T>, const conv2d_options& options) {
    const conv2d_bands<T> b(x.shape(), weight.shape(), dy.shape(), options);
    const products<T> gemm(backend, b);
    const std::int64_t packing = (std::max)(gemm.dweight.packing_size(), gemm.dx.packing_size());
    const std::int64_t groups = chunk_count(x.rows(), group_images(x.rows(), b));
    const std::int64_t threads = (std::min)(groups, std::int64_t{backend.thread_count()});
    auto& workspace = backend.workspace;
    return {workspace.allocate<T>(shape<2>{threads, conv2d_memory<T>::size(b, packing)}),
            workspace.allocate<T>(shape<2>{groups, b.out * b.terms}),
            workspace.allocate<double>(shape<2>{groups, b.out})};
  }

  template <class T>
  static void run(cpu& backend, const memory<T>& memory, image_view<const T> x, image_view<const T> weight,
                  image_view<const T> dy, image_view<T> dx, image_view<T> dweight, vector_view<T> dbias,
                  const conv2d_options& options) {
    const conv2d_bands<T> b(x.shape(), weight.shape(), dy.shape(), options);
    const products<T> gemm(backend, b);
    const std::int64_t group_size = group_images(x.rows(), b);
    parallel_for(backend, x.rows(), group_size, [&](row_range images, int thread) {
      const conv2d_memory<T> own(b, memory.threads.row(thread));
      const std::int64_t group = images.first / group_size;
      std::fill_n(memory.dweight.row(group), memory.dweight.cols(), T(0));
      std::fill_n(memory.dbias.row(group), b.out, 0.0);
      for (std::int64_t i = images.first; i < images.first + images.count; ++i)
        image_backward(gemm, b, own, x.row(i), weight.data(), dy.row(i), dx.absent() ? nullptr : dx.row(i),
                       memory.dweight.row(group), dbias.absent() ? nullptr : memory.dbias.row(group));
    });
    add_rows(backend, memory.dweight, dweight.data());
    if (!dbias.absent()) add_rows(backend, memory.dbias, dbias.data());
  }

 private:
  template <class T>
  static void image_backward(const products<T>& gemm, const conv2d_bands<T>& b, const conv2d_memory<T>& own, const T* x,
                             const T* weight, const T* dy, T* dx, T* dweight, double* dbias) {
    if (dx && b.unfolds) std::fill_n(dx, b.channels * b.height * b.width, T(0));
    for (std::int64_t i = 0; i < b.bands; ++i) {
      const row_range band = chunk_at(b.out_height, b.rows, i);
      const std::int64_t first = band.first * b.out_width, pixels = b.pixels(band.count),
                         step = b.unfolds ? pixels : b.plane();
      if (b.unfolds) {
        b.load(band, x, own.patch);
        b.unfold(band, own.patch, own.columns);
      }
      gemm.dweight(b.out, b.terms, pixels, dy + first, b.plane(), b.unfolds ? own.columns : x + first, step, true,
                   dweight, b.terms, own.packing);
      for (std::int64_t o = 0; dbias && o < b.out; ++o) dbias[o] += sum(dy + o * b.plane() + first, pixels);
      if (!dx) continue;
      gemm.dx(b.terms, pixels, b.out, weight, b.terms, dy + first, b.plane(), false,
              b.unfolds ? own.columns : dx + first, step, own.packing);
      if (!b.unfolds) continue;
      b.fold(band, own.columns, own.patch);
      b.add(band, own.patch, dx);
    }
  }

  /// In eight lanes from the first element on: Eigen's sum begins at an aligned one, so that its bits depend on the address.
  template <class T>
  static double sum(const T* x, std::int64_t count) {
    double lanes[8] = {};
    const std::int64_t whole = count / 8 * 8;
    for (std::int64_t i = 0; i < whole; i += 8)
      for (int k = 0; k < 8; ++k) lanes[k] += static_cast<double>(x[i + k]);
    for (std::int64_t i = whole; i < count; ++i) lanes[i - whole] += static_cast<double>(x[i]);
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
  }

  /// to[j] += sum over the rows, in order and in double.
  template <class Part, class T>
  static void add_rows(cpu& backend, matrix_view<Part> parts, T* to) {
    parallel_for(backend, parts.cols(), 1024, [&](row_range columns) {
      double total[1024] = {};
      for (std::int64_t i = 0; i < parts.rows(); ++i)
        for (std::int64_t j = 0; j < columns.count; ++j)
          total[j] += static_cast<double>(parts.row(i)[columns.first + j]);
      for (std::int64_t j = 0; j < columns.count; ++j) to[columns.first + j] += static_cast<T>(total[j]);
    });
  }
};

}  // namespace milkit::ops::detail
