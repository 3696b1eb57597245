#pragma once

#include <milkit/ops/images/conv2d.hpp>
#include <milkit/ops/products/linear/column_sums_cuda.cuh>
#include <milkit/ops/products/matmul/tile_gemm_cuda.cuh>
#include <milkit/ops/rows/fill_cuda.cuh>

namespace milkit::ops::detail {

/// What the three products of a convolution know of it. Nothing is unfolded into memory: each takes the elements of the matrix
/// of windows, [in kernel_height kernel_width, batch out_height out_width], from the image itself. `Index` counts elements: in
/// 32 bits wherever they suffice, because loads are as many divisions of indices as products, and one in 64 bits costs several
/// in 32.
template <class Index>
struct conv2d_geometry {
  Index height, width, kernel_height, kernel_width, out_height, out_width, stride_y, stride_x, pad_y, pad_x;

  conv2d_geometry(const shape<4>& x, const shape<4>& weight, const shape<4>& y, const conv2d_options& o)
      : height(as(x[2])),
        width(as(x[3])),
        kernel_height(as(weight[2])),
        kernel_width(as(weight[3])),
        out_height(as(y[2])),
        out_width(as(y[3])),
        stride_y(as(o.stride[0])),
        stride_x(as(o.stride[1])),
        pad_y(as(o.padding[0])),
        pad_x(as(o.padding[1])) {}

  __device__ Index window() const { return kernel_height * kernel_width; }
  __device__ Index out_pixels() const { return out_height * out_width; }

  /// A pixel of the output, of all images: its image, its place there, and the corner of its window.
  struct pixel {
    Index image, at, top, left;
  };
  __device__ pixel pixel_at(Index p) const {
    const Index image = p / out_pixels(), at = p - image * out_pixels(), y = at / out_width;
    return {image, at, y * stride_y - pad_y, (at - y * out_width) * stride_x - pad_x};
  }
  /// A term of the forward product: channel and place in the window.
  struct tap {
    Index channel, y, x;
  };
  __device__ tap tap_at(Index term) const {
    const Index channel = term / window(), k = term - channel * window(), y = k / kernel_width;
    return {channel, y, k - y * kernel_width};
  }
  template <class T>
  __device__ T windows(const device_images<const T>& x, const tap& t, const pixel& p) const {
    const Index i = p.top + t.y, j = p.left + t.x;
    return i < 0 || i >= height || j < 0 || j >= width ? T(0) : x.row(p.image)[(t.channel * height + i) * width + j];
  }

 private:
  static Index as(std::int64_t n) { return static_cast<Index>(n); }
};

template <class T, class Index>
struct conv2d_product {
  using index = Index;
  conv2d_geometry<Index> of;
  device_images<const T> x, weight;
  device_vector<const T> bias;
  device_images<T> y;
  conv2d_finish<T, device_space> finish;
  __device__ Index term(Index k) const { return k; }
  __device__ auto column(Index p) const { return of.pixel_at(p); }
  __device__ T left(Index o, Index k) const { return weight.row(o)[k]; }
  __device__ T right(Index k, const typename conv2d_geometry<Index>::pixel& p) const {
    return of.windows(x, of.tap_at(k), p);
  }
  __device__ void store(Index o, Index pixel, Index, T sum) const {
    const Index image = pixel / of.out_pixels(), at = o * of.out_pixels() + pixel - image * of.out_pixels();
    const T z =
        sum + (bias.absent() ? T(0) : bias(o)) + (finish.residual.absent() ? T(0) : finish.residual.row(image)[at]);
    y.row(image)[at] = finish.relu && z < T(0) ? T(0) : z;
  }
};

/// The same finish for what a library has computed.
struct relu_of_one {
  template <class T>
  __device__ T operator()(T a) const {
    return a < T(0) ? T(0) : a;
  }
};
struct relu_of_sum {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return relu_of_one()(a + b);
  }
};

/// dx: every pixel of the input gathers from the windows that it is in.
template <class T, class Index>
struct conv2d_dx_product {
  using index = Index;
  conv2d_geometry<Index> of;
  device_images<const T> weight, dy;
  device_images<T> dx;
  struct place {
    Index image, y, x;
  };
  struct weight_term {
    Index out, at;
  };
  __device__ weight_term term(Index k) const { return {k / of.window(), k % of.window()}; }
  __device__ place column(Index p) const {
    const Index plane = of.height * of.width, image = p / plane, at = p - image * plane, y = at / of.width;
    return {image, y + of.pad_y, at - y * of.width + of.pad_x};
  }
  __device__ T left(Index c, const weight_term& k) const { return weight.row(k.out)[c * of.window() + k.at]; }
  __device__ T right(Index k, const place& p) const {
    const auto tap = of.tap_at(k);  // of this product's terms the channel is dy's
    const Index top = p.y - tap.y, left_edge = p.x - tap.x;
    if (top < 0 || left_edge < 0) return T(0);
    const Index i = top / of.stride_y, j = left_edge / of.stride_x;
    if (i * of.stride_y != top || j * of.stride_x != left_edge || i >= of.out_height || j >= of.out_width) return T(0);
    return dy.row(p.image)[(tap.channel * of.out_height + i) * of.out_width + j];
  }
  __device__ void store(Index c, Index pixel, Index, T sum) const {
    const Index plane = of.height * of.width, image = pixel / plane;
    dx.row(image)[c * plane + pixel - image * plane] = sum;
  }
};

/// dweight in parts, each over a stretch of the pixels.
template <class T, class Index>
struct conv2d_dweight_product {
  using index = Index;
  conv2d_geometry<Index> of;
  device_images<const T> x, dy;
  device_matrix<double> partial;  ///< [parts, out terms]
  Index terms;
  __device__ auto term(Index pixel) const { return of.pixel_at(pixel); }
  __device__ auto column(Index k) const { return of.tap_at(k); }
  __device__ T left(Index o, const typename conv2d_geometry<Index>::pixel& p) const {
    return dy.row(p.image)[o * of.out_pixels() + p.at];
  }
  __device__ T right(Index pixel, const typename conv2d_geometry<Index>::tap& t) const {
    return of.windows(x, t, of.pixel_at(pixel));
  }
  __device__ void store(Index o, Index k, Index part, T sum) const {
    partial(part, std::int64_t{o} * terms + k) = static_cast<double>(sum);
  }
};

template <class T>
struct conv2d_dbias_terms {
  std::int64_t out_pixels;
  device_images<const T> dy;
  __device__ T operator()(std::int64_t pixel, std::int64_t o) const {
    return dy.row(pixel / out_pixels)[o * out_pixels + pixel % out_pixels];
  }
};

/// `body(std::int32_t())` where all indices fit with room to spare, `body(std::int64_t())` elsewhere.
template <class Body, class... Views>
void with_conv2d_index(Body&& body, const Views&... views) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  if (((views.rows() * views.row_size() < most) && ...)) body(std::int32_t{});
  else body(std::int64_t{});
}

/// Scratch memory of the backend's convolution library, for float; none for double, or without a library.
template <class T>
device_vector<std::byte> convolution_scratch(cuda& backend) {
  if (sizeof(T) != sizeof(float) || backend.convolution.scratch_bytes == 0) return {};
  return backend.workspace.template allocate<std::byte>(static_cast<std::int64_t>(backend.convolution.scratch_bytes));
}
/// Whether the backend's library, if there is one for T, has queued the product that `ask(library)` asks it for.
template <class T, class Ask>
bool by_library(const cuda& backend, Ask&& ask) {
  if constexpr (std::is_same_v<T, float>) return ask(backend.convolution);
  else return false;
}

template <>
struct conv2d_impl<cuda> {
  template <class T>
  static device_vector<std::byte> scratch(cuda& backend, device_images<const T>, auto&&...) {
    return convolution_scratch<T>(backend);
  }
  template <class T>
  static void run(cuda& backend, device_vector<std::byte> memory, device_images<const T> x,
                  device_images<const T> weight, device_vector<const T> bias, device_images<T> y,
                  const conv2d_options& options, const conv2d_finish<T, device_space>& finish) {
    if (by_library<T>(backend, [&](const auto& library) {
          return library.forward &&
                 library.forward(backend, memory, x, weight, bias, y, options.stride, options.padding);
        })) {
      const device_matrix<const T> z = y.as_matrix();
      if (!finish.residual.absent()) map(backend, relu_of_sum(), y.as_matrix(), z, finish.residual.as_matrix());
      else if (finish.relu) map(backend, relu_of_one(), y.as_matrix(), z);
      return;
    }
    with_conv2d_index([&]<class Index>(Index) { multiply<Index>(backend, x, weight, bias, y, options, finish); }, x,
                      weight, y);
  }
  template <class Index, class T>
  static void multiply(cuda& backend, device_images<const T> x, device_images<const T> weight,
                       device_vector<const T> bias, device_images<T> y, const conv2d_options& options,
                       const conv2d_finish<T, device_space>& finish = {}) {
    tile_gemm<T>(backend, weight.rows(), y.extent(0) * y.extent(2) * y.extent(3), weight.row_size(), 1,
                 conv2d_product<T, Index>{{x.shape(), weight.shape(), y.shape(), options}, x, weight, bias, y, finish});
  }
};

template <>
struct conv2d_backward_impl<cuda> {
  /// Enough parts to fill the card where dweight itself has few tiles, and no more than 8 MiB of them.
  static std::int64_t parts(std::int64_t pixels, std::int64_t out, std::int64_t terms) {
    constexpr std::int64_t part_pixels = 1024, blocks = 512, bytes = std::int64_t{8} << 20;
    const std::int64_t tiles = chunk_count(out, 64) * chunk_count(terms, 64);
    const std::int64_t most =
        bytes / (std::max)(static_cast<std::int64_t>(sizeof(double)) * out * terms, std::int64_t{1});
    const std::int64_t wanted =
        (std::min)(chunk_count(pixels, part_pixels), chunk_count(blocks, (std::max)(tiles, std::int64_t{1})));
    return (std::max)((std::min)(wanted, most), std::int64_t{1});
  }

  struct memory {
    device_matrix<double> weight, bias;
    device_vector<std::byte> library;
  };
  template <class T>
  static memory scratch(cuda& backend, device_images<const T>, device_images<const T> weight, device_images<const T> dy,
                        auto&&...) {
    const std::int64_t pixels = dy.extent(0) * dy.extent(2) * dy.extent(3);
    return {backend.workspace.template allocate<double>(
                shape<2>{parts(pixels, weight.rows(), weight.row_size()), weight.size()}),
            column_sums_scratch(backend, pixels, weight.extent(0)), convolution_scratch<T>(backend)};
  }

  template <class T>
  static void run(cuda& backend, const memory& partial, device_images<const T> x, device_images<const T> weight,
                  device_images<const T> dy, device_images<T> dx, device_images<T> dweight, device_vector<T> dbias,
                  const conv2d_options& options) {
    const auto products = [&]<class Index>(Index) {
      multiply<Index>(backend, partial, x, weight, dy, dx, dweight, options);
    };
    with_conv2d_index(products, x, weight, dy);
    if (dbias.absent() || dy.size() == 0) return;
    const std::int64_t out_pixels = dy.extent(2) * dy.extent(3);
    column_sums(backend, partial.bias, dy.rows() * out_pixels, conv2d_dbias_terms<T>{out_pixels, dy});
    add_partial(backend, partial.bias, dbias);
  }

  template <class Index, class T>
  static void multiply(cuda& backend, const memory& partial, device_images<const T> x, device_images<const T> weight,
                       device_images<const T> dy, device_images<T> dx, device_images<T> dweight,
                       const conv2d_options& options) {
    const conv2d_geometry<Index> of(x.shape(), weight.shape(), dy.shape(), options);
    const std::int64_t out = weight.rows(), terms = weight.row_size(),
                       pixels = dy.extent(0) * dy.extent(2) * dy.extent(3);
    const bool is_done = pixels == 0 || by_library<T>(backend, [&](const auto& library) {
                           return library.dweight && library.dweight(backend, partial.library, x, dy, dweight,
                                                                     options.stride, options.padding);
                         });
    if (!is_done) {
      tile_gemm<T>(backend, out, terms, pixels, partial.weight.rows(),
                   conv2d_dweight_product<T, Index>{of, x, dy, partial.weight, static_cast<Index>(terms)});
      for (std::int64_t o = 0; o < (dweight.contiguous() ? 1 : out); ++o) {
        const std::int64_t count = dweight.contiguous() ? dweight.size() : terms;
        add_partial(backend, partial.weight.columns(o * terms, count), device_vector<T>(dweight.row(o), {count}));
      }
    }
    if (!dx.absent() && !by_library<T>(backend, [&](const auto& library) {
          return library.dx && library.dx(backend, partial.library, weight, dy, dx, options.stride, options.padding);
        }))
      tile_gemm<T>(backend, weight.extent(1), dx.extent(0) * dx.extent(2) * dx.extent(3),
                   out * weight.extent(2) * weight.extent(3), 1, conv2d_dx_product<T, Index>{of, weight, dy, dx});
  }
};

}  // namespace milkit::ops::detail
