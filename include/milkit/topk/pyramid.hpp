#pragma once

#include <array>

#include <milkit/core/cpu.hpp>
#include <milkit/ops/selection/zoom.hpp>

namespace milkit {

/// The instances of one slide at `Levels` magnifications, from low to high, in memory: features[m] [N_m, d_m], of which
/// children[m] says those that belong to each instance one magnification below (docs/papers/zoommil.md 1). Views: what
/// they show
/// must outlive it. `pyramid_of` makes one.
template <class T, std::size_t Levels, class Space = host_space>
struct pyramid {
  static_assert(Levels >= 1, "milkit::pyramid: at least one magnification");
  using value_type = T;
  static constexpr std::size_t levels = Levels;

  std::array<matrix_view<const T, Space>, Levels> features;
  std::array<ops::children<Space>, Levels - 1> children = {};
};

/// The paper's dense pyramid: row n at one magnification owns the rows n ratio .. n ratio + ratio - 1 of the next,
/// ratio 4 for a step of 2x, 16 for 4x, 64 for 8x. Errors: shape_error where the rows do not fit the ratios.
template <std::size_t Levels, class T, class Space>
pyramid<std::remove_const_t<T>, Levels, Space> pyramid_of(const std::array<view<T, 2, Space>, Levels>& features,
                                                          const std::array<std::int64_t, Levels - 1>& ratios) {
  pyramid<std::remove_const_t<T>, Levels, Space> made;
  for (std::size_t m = 0; m < Levels; ++m) made.features[m] = features[m];
  for (std::size_t m = 0; m + 1 < Levels; ++m) {
    expect_extent("milkit::pyramid_of", message("instances at magnification ", m + 2), features[m + 1].rows(),
                  features[m].rows() * ratios[m]);
    made.children[m].width = ratios[m];
  }
  return made;
}

/// The pyramid where the backend's kernels can read it: itself, or a copy in the backend's memory.
template <class Backend, class T, std::size_t Levels, class Space>
auto resident(Backend& backend, const pyramid<T, Levels, Space>& given) {
  using Own = typename Backend::space;
  if constexpr (std::is_same_v<Own, Space>) {
    return given;
  } else {
    pyramid<T, Levels, Own> made;
    for (std::size_t m = 0; m < Levels; ++m) made.features[m] = resident(backend, given.features[m]);
    for (std::size_t m = 0; m + 1 < Levels; ++m)
      made.children[m] = {given.children[m].width, resident(backend, given.children[m].offsets),
                          resident(backend, given.children[m].rows)};
    return made;
  }
}

}  // namespace milkit
