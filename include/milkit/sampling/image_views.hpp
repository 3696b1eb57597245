#pragma once

#include <algorithm>

#include <milkit/core/parallel_for.hpp>
#include <milkit/ops/images/area_average_rgb.hpp>
#include <milkit/ops/images/resample2d_cpu.hpp>
#include <milkit/sampling/view_grid.hpp>

/// Where the pixels of an image come from. A source has
///
///     using value_type = ...;                                            // of the views: float or double
///     sampling::area<pixel_frame> size() const;
///     void read(cpu&, sampling::place<pixel_frame> origin, sampling::area<pixel_frame> extent, image_view<T> out) const;
///
/// `read` fills out [1, 3, h, w] with the mean colours of the rectangle of `extent` pixels at `origin`, which may leave the image:
/// pixels outside count as zeros. Several threads may read at once, each with its own backend for temporary memory. Optionally
///
///     static constexpr bool counts_memory = true;
///
/// says that `read` on a planning backend takes the memory that it would need, and touches no pixel; else plans leave it out.
namespace milkit::sampling {

template <class S>
concept image_source = requires(const S s, cpu& backend, place<pixel_frame> origin, area<pixel_frame> extent,
                                image_view<typename S::value_type> out) {
  { s.size() } -> std::same_as<area<pixel_frame>>;
  s.read(backend, origin, extent, out);
};

/// How the pixels of a view follow from those of the image: their mean, or bilinear sampling as the official code has
/// it.
enum class view_filter { area_average, bilinear };

/// An image of numbers in memory, [3, height, width].
template <class T>
struct planar_image {
  using value_type = T;
  view<const T, 3> pixels;
  view_filter filter = view_filter::area_average;

  static constexpr bool counts_memory = true;
  area<pixel_frame> size() const { return {pixels.extent(1), pixels.extent(2)}; }

  void read(cpu& backend, place<pixel_frame> origin, area<pixel_frame> extent, image_view<T> out) const {
    if (extent.rows == out.extent(2) && extent.columns == out.extent(3)) {
      if (!backend.workspace.planning()) copy(origin, extent, out);
      return;
    }
    const auto scope = backend.workspace.scope();
    const auto whole = backend.workspace.template allocate<T>(shape<4>{1, 3, extent.rows, extent.columns});
    if (!backend.workspace.planning()) copy(origin, extent, whole);
    if (filter == view_filter::area_average) ops::area_average(backend, view<const T, 4>(whole), out);
    else ops::bilinear(backend, view<const T, 4>(whole), out);
  }

 private:
  void copy(place<pixel_frame> origin, area<pixel_frame> extent, image_view<T> out) const {
    const std::int64_t left = std::clamp(-origin.column, std::int64_t{0}, extent.columns),
                       right = std::clamp(pixels.extent(2) - origin.column, left, extent.columns);
    for (std::int64_t c = 0; c < 3; ++c)
      for (std::int64_t y = 0; y < extent.rows; ++y) {
        T* to = &out(0, c, y, 0);
        const std::int64_t row = origin.row + y;
        if (row < 0 || row >= pixels.extent(1) || left == right) {
          std::fill_n(to, extent.columns, T(0));
          continue;
        }
        std::fill_n(to, left, T(0));
        std::copy_n(pixels.row(c) + row * pixels.extent(2) + origin.column + left, right - left, to + left);
        std::fill(to + right, to + extent.columns, T(0));
      }
  }
};

/// An 8-bit picture in memory, [height, width, 3], of value / 255.
template <class T = float>
struct rgb_source {
  using value_type = T;
  view<const std::uint8_t, 3> pixels;
  view_filter filter = view_filter::area_average;

  static constexpr bool counts_memory = true;
  area<pixel_frame> size() const { return {pixels.extent(0), pixels.extent(1)}; }

  void read(cpu& backend, place<pixel_frame> origin, area<pixel_frame> extent, image_view<T> out) const {
    const ops::pixel_rectangle from{origin.row, origin.column, extent.rows, extent.columns};
    const auto planes = [](image_view<T> image) {
      return view<T, 3>(image.data(), {3, image.extent(2), image.extent(3)});
    };
    if (filter == view_filter::area_average || (extent.rows == out.extent(2) && extent.columns == out.extent(3)))
      return ops::area_average_rgb(backend, pixels, from, planes(out));
    const auto scope = backend.workspace.scope();
    const auto whole = backend.workspace.template allocate<T>(shape<4>{1, 3, extent.rows, extent.columns});
    ops::area_average_rgb(backend, pixels, from, planes(whole));
    ops::bilinear(backend, image_view<const T>(whole), out);
  }
};

/// Views of an image where the backend works, [count, 3, h, w]: view i is the rectangle of `extent` pixels at origin(i). All of the backend's
/// threads read. In memory of the workspace.
template <class Backend, image_source Source, class Origin>
image_view<const typename Source::value_type, typename Backend::space> read_views(Backend& backend,
                                                                                  const Source& source,
                                                                                  std::int64_t count, Origin&& origin,
                                                                                  area<pixel_frame> extent,
                                                                                  area<pixel_frame> view_size) {
  using T = typename Source::value_type;
  const shape<4> all{count, 3, view_size.rows, view_size.columns};
  const auto memory = backend.workspace.template allocate_on_host<T>(all.size());
  const image_view<T> pixels(memory.data(), all);
  const auto read = [&](cpu& host) {
    for (int t = 0; t < host.thread_count(); ++t) host.worker(t);
    parallel_for(host, count, 1, [&](row_range one, int thread) {
      source.read(host.worker(thread), origin(one.first), extent, pixels.rows(one.first, 1));
    });
  };
  if (backend.workspace.planning()) {
    if constexpr (is_cpu<Backend> && requires { requires Source::counts_memory; })
      for (int t = 0; t < backend.thread_count() && t < count; ++t)
        source.read(backend.worker(t), {}, extent, pixels.rows(0, 1));
  } else {
    if constexpr (is_cpu<Backend>) {
      read(backend);
    } else {
      cpu host;
      read(host);
    }
  }
  return resident(backend, image_view<const T>(pixels));
}

}  // namespace milkit::sampling
