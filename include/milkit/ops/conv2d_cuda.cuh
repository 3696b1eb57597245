#pragma once

#include <milkit/ops/column_sums_cuda.cuh>
#include <milkit/ops/conv2d.hpp>
#include <milkit/ops/tile_gemm_cuda.cuh>

namespace milkit::ops::detail {

/// What the three products of a convolution know of it. Nothing is unfolded into memory: each takes the elements of the matrix
/// of windows, [in kernel_height kernel_width, batch out_height out_width], from the image itself.
template <class T>
struct conv2d_geometry {
  std::int64_t in, height, width, out, kernel_height, kernel_width, out_height, out_width, stride_y, stride_x, pad_y, pad_x, batch;

  conv2d_geometry(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& o)
      : in(x[1]), height(x[2]), width(x[3]), out(weight[0]), kernel_height(weight[2]), kernel_width(weight[3]), out_height(y[2]),
        out_width(y[3]), stride_y(o.stride[0]), stride_x(o.stride[1]), pad_y(o.padding[0]), pad_x(o.padding[1]), batch(x[0]) {}

  __device__ std::int64_t window() const { return kernel_height * kernel_width; }
  __device__ std::int64_t out_pixels() const { return out_height * out_width; }

  __device__ T windows(device_images<const T> x, std::int64_t term, std::int64_t pixel) const {
    const std::int64_t n = pixel / out_pixels(), p = pixel % out_pixels(), c = term / window(), k = term % window();
    const std::int64_t i = p / out_width * stride_y + k / kernel_width - pad_y, j = p % out_width * stride_x + k % kernel_width - pad_x;
    return i < 0 || i >= height || j < 0 || j >= width ? T(0) : x(n, c, i, j);
  }
};

template <class T>
struct conv2d_product {
  conv2d_geometry<T> of;
  device_images<const T> x, weight;
  device_vector<const T> bias;
  device_images<T> y;
  __device__ T left(std::int64_t o, std::int64_t term) const { return weight.row(o)[term]; }
  __device__ T right(std::int64_t term, std::int64_t pixel) const { return of.windows(x, term, pixel); }
  __device__ void store(std::int64_t o, std::int64_t pixel, std::int64_t, T sum) const {
    y.row(pixel / of.out_pixels())[o * of.out_pixels() + pixel % of.out_pixels()] = sum + (bias.absent() ? T(0) : bias(o));
  }
};

/// dx: every pixel of the input gathers from the windows that it is in.
template <class T>
struct conv2d_dx_product {
  conv2d_geometry<T> of;
  device_images<const T> weight, dy;
  device_images<T> dx;
  __device__ T left(std::int64_t c, std::int64_t term) const { return weight.row(term / of.window())[c * of.window() + term % of.window()]; }
  __device__ T right(std::int64_t term, std::int64_t pixel) const {
    const std::int64_t plane = of.height * of.width, n = pixel / plane, p = pixel % plane, o = term / of.window(), k = term % of.window();
    const std::int64_t top = p / of.width + of.pad_y - k / of.kernel_width, left_edge = p % of.width + of.pad_x - k % of.kernel_width;
    if (top < 0 || left_edge < 0 || top % of.stride_y != 0 || left_edge % of.stride_x != 0) return T(0);
    const std::int64_t i = top / of.stride_y, j = left_edge / of.stride_x;
    return i < of.out_height && j < of.out_width ? dy(n, o, i, j) : T(0);
  }
  __device__ void store(std::int64_t c, std::int64_t pixel, std::int64_t, T sum) const {
    const std::int64_t plane = of.height * of.width;
    dx.row(pixel / plane)[c * plane + pixel % plane] = sum;
  }
};

/// dweight in parts, each over a stretch of the pixels.
template <class T>
struct conv2d_dweight_product {
  conv2d_geometry<T> of;
  device_images<const T> x, dy;
  device_matrix<double> partial;  ///< [parts, out terms]
  std::int64_t terms;
  __device__ T left(std::int64_t o, std::int64_t pixel) const { return dy.row(pixel / of.out_pixels())[o * of.out_pixels() + pixel % of.out_pixels()]; }
  __device__ T right(std::int64_t pixel, std::int64_t term) const { return of.windows(x, term, pixel); }
  __device__ void store(std::int64_t o, std::int64_t term, std::int64_t part, T sum) const { partial(part, o * terms + term) = static_cast<double>(sum); }
};

template <class T>
struct conv2d_dbias_terms {
  conv2d_geometry<T> of;
  device_images<const T> dy;
  __device__ T operator()(std::int64_t pixel, std::int64_t o) const { return dy.row(pixel / of.out_pixels())[o * of.out_pixels() + pixel % of.out_pixels()]; }
};

/// Scratch memory of the backend's convolution library, for float; none for double, or without a library.
template <class T>
device_vector<std::byte> convolution_scratch(cuda& backend) {
  if (sizeof(T) != sizeof(float) || backend.convolution.scratch_bytes == 0) return {};
  return backend.workspace.template allocate<std::byte>(static_cast<std::int64_t>(backend.convolution.scratch_bytes));
}
/// Asks the library, if there is one for T, whether it queues a product; `ask(library)` calls it.
template <class T, class Ask>
bool by_library(const cuda& backend, Ask&& ask) {
  if constexpr (std::is_same_v<T, float>) return ask(backend.convolution);
  else return false;
}

template <>
struct conv2d_impl<cuda> {
  template <class T>
  static device_vector<std::byte> scratch(cuda& backend, device_images<const T>, device_images<const T>,
                                          device_vector<const T>, device_images<T>, const conv2d_options&) {
    return convolution_scratch<T>(backend);
  }
  template <class T>
  static void run(cuda& backend, device_vector<std::byte> memory, device_images<const T> x,
                  device_images<const T> weight, device_vector<const T> bias, device_images<T> y,
                  const conv2d_options& options) {
    if (by_library<T>(backend, [&](const auto& library) {
          return library.forward &&
                 library.forward(backend, memory, x, weight, bias, y, options.stride, options.padding);
        }))
      return;
    const conv2d_geometry<T> of(x.shape(), weight.shape(), y.shape(), options);
    tile_gemm<T>(backend, of.out, y.extent(0) * y.extent(2) * y.extent(3), weight.row_size(), 1,
                 conv2d_product<T>{of, x, weight, bias, y});
  }
};

template <>
struct conv2d_backward_impl<cuda> {
  static constexpr std::int64_t part_pixels = 4096, most_parts = 64;
  static std::int64_t parts(std::int64_t pixels) {
    return (std::min)((std::max)(chunk_count(pixels, part_pixels), std::int64_t{1}), most_parts);
  }

  struct memory {
    device_matrix<double> weight, bias;
    device_vector<std::byte> library;
  };
  template <class T>
  static memory scratch(cuda& backend, device_images<const T>, device_images<const T> weight,
                        device_images<const T> dy, auto&&...) {
    const std::int64_t pixels = dy.extent(0) * dy.extent(2) * dy.extent(3);
    return {backend.workspace.template allocate<double>(shape<2>{parts(pixels), weight.size()}),
            column_sums_scratch(backend, pixels, weight.extent(0)), convolution_scratch<T>(backend)};
  }

  template <class T>
  static void run(cuda& backend, const memory& partial, device_images<const T> x, device_images<const T> weight,
                  device_images<const T> dy, device_images<T> dx, device_images<T> dweight, device_vector<T> dbias,
                  const conv2d_options& options) {
    const conv2d_geometry<T> of(x.shape(), weight.shape(), dy.shape(), options);
    const std::int64_t pixels = dy.extent(0) * dy.extent(2) * dy.extent(3);
    if (pixels > 0) {
      if (!by_library<T>(backend, [&](const auto& library) {
            return library.dweight &&
                   library.dweight(backend, partial.library, x, dy, dweight, options.stride, options.padding);
          }))
        add_dweight(backend, of, partial.weight, x, dy, dweight);
      if (!dbias.absent()) {
        column_sums(backend, partial.bias, pixels, conv2d_dbias_terms<T>{of, dy});
        add_partial(backend, partial.bias, dbias);
      }
    }
    if (!dx.absent() && !by_library<T>(backend, [&](const auto& library) {
          return library.dx &&
                 library.dx(backend, partial.library, weight, dy, dx, options.stride, options.padding);
        }))
      tile_gemm<T>(backend, of.in, dx.extent(0) * of.height * of.width, of.out * of.kernel_height * of.kernel_width, 1,
                   conv2d_dx_product<T>{of, weight, dy, dx});
  }

 private:
  template <class T>
  static void add_dweight(cuda& backend, const conv2d_geometry<T>& of, device_matrix<double> partial,
                          device_images<const T> x, device_images<const T> dy, device_images<T> dweight) {
    const std::int64_t terms = dweight.row_size();
    tile_gemm<T>(backend, of.out, terms, of.batch * of.out_height * of.out_width, partial.rows(),
                 conv2d_dweight_product<T>{of, x, dy, partial, terms});
    for (std::int64_t o = 0; o < (dweight.contiguous() ? 1 : of.out); ++o) {
      const std::int64_t count = dweight.contiguous() ? dweight.size() : terms;
      add_partial(backend, partial.columns(o * terms, count), device_vector<T>(dweight.row(o), {count}));
    }
  }
};

}  // namespace milkit::ops::detail
