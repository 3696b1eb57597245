#pragma once

#include <algorithm>
#include <type_traits>

#include <milkit/pooling/bag.hpp>
#include <milkit/topk/pyramid.hpp>

/// Where inference of ZoomMIL reads a slide: a `pyramid`, or a source, which need not hold all features. A source has
/// the members `value_type`,
///
///     auto instances() const;               // an instance_source of the lowest magnification
///     ops::children<> children(m) const;    // of magnification m (from 0) in m + 1, on the host
///     auto gather(backend, m, rows) const;  // features of these instances of magnification m, [n, d], where the
///                                           // backend works; rows: int64 on the host
///
/// and is asked for all N_1 instances of the lowest magnification, then only for the children of those chosen.
namespace milkit::models {

/// A pyramid in memory, read as inference reads any source.
template <class T, std::size_t Levels, class Space>
struct pyramid_source {
  using value_type = T;
  const pyramid<T, Levels, Space>& slide;

  auto instances() const { return bag_view<T, 2, Space>{slide.features[0]}; }
  template <class Backend>
  auto gather(Backend& backend, std::size_t m, vector_view<const std::int64_t> rows) const {
    using Own = typename Backend::space;
    const auto& all = slide.features[m];
    if constexpr (std::is_same_v<Space, Own>) {
      const auto out = backend.workspace.template allocate_rows<T>(shape<2>{rows.extent(0), all.cols()});
      ops::gather_rows(backend, all, to_backend(backend, rows), out);
      return matrix_view<const T, Own>(out);
    } else {  // only what was chosen travels to the card
      const auto out = backend.workspace.template allocate_on_host<T>(rows.extent(0) * all.cols());
      for (std::int64_t i = 0; i < rows.extent(0) && !backend.workspace.planning(); ++i) {
        expect_value(rows(i) < all.rows(), "milkit::models::zoom_mil", "a child at magnification ", m + 1, " is row ",
                     rows(i), ", expected 0 to ", all.rows() - 1);
        std::copy_n(all.row(rows(i)), all.cols(), out.data() + i * all.cols());
      }
      return resident(backend, matrix_view<const T>(out.data(), {rows.extent(0), all.cols()}));
    }
  }
  const ops::children<Space>& children(std::size_t m) const { return slide.children[m]; }
};
/// What inference asks: the slide itself, which is a source, or a pyramid in memory as one.
template <class Slide>
const Slide& source_of(const Slide& slide) {
  return slide;
}
template <class T, std::size_t Levels, class Space>
pyramid_source<T, Levels, Space> source_of(const pyramid<T, Levels, Space>& slide) {
  return {slide};
}

namespace detail {

template <class Backend, class Space>
ops::children<> host_index(Backend& backend, const ops::children<Space>& index) {
  if constexpr (std::is_same_v<Space, host_space>) return index;
  else
    return {index.width, index.offsets.absent() ? vector_view<const std::int64_t>() : to_host(backend, index.offsets),
            index.rows.absent() ? vector_view<const std::int64_t>() : to_host(backend, index.rows)};
}

/// The children of the chosen instances of magnification `level` (from 1), on the host: of rows[selected], or of
/// `selected` where rows is absent.
template <class Backend, class Index, class Selected>
vector_view<const std::int64_t> chosen_children(Backend& backend, std::size_t level, const Index& given,
                                                const Selected& selected, vector_view<const std::int64_t> rows) {
  using Space = typename Backend::space;
  constexpr auto op = "milkit::models::zoom_mil";
  const auto index = host_index(backend, given);
  const auto chosen = to_host(backend, vector_view<const std::int32_t, Space>(selected.columns));
  const std::int64_t k = selected.rows();
  const auto list = backend.workspace.template allocate_on_host<std::int64_t>(k * index.width);
  if (backend.workspace.planning()) return list;
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < k; ++i) {
    const std::int64_t parent = rows.absent() ? chosen(i) : rows(chosen(i));
    if (!index.offsets.absent()) {
      expect_value(parent + 1 < index.offsets.extent(0), op, "instance ", parent, " of magnification ", level,
                   " was chosen, but the children's offsets are of ", index.offsets.extent(0) - 1, " instances");
      const std::int64_t own = index.offsets(parent + 1) - index.offsets(parent);
      expect_value(own >= 0 && own <= index.width, op, "parent ", parent, " of magnification ", level, " has ", own,
                   " children, expected 0 to ", index.width);
    }
    const std::int64_t first = index.offsets.absent() ? parent * index.width : index.offsets(parent);
    const std::int64_t last = index.offsets.absent() ? first + index.width : index.offsets(parent + 1);
    expect_value(index.rows.absent() || (first >= 0 && last <= index.rows.extent(0)), op, "the children of parent ",
                 parent, " of magnification ", level, " are rows ", first, " to ", last - 1,
                 " of the index, but it has ", index.rows.extent(0));
    for (std::int64_t q = first; q < last; ++q) {
      const std::int64_t row = index.rows.absent() ? q : index.rows(q);
      expect_value(row >= 0, op, "a child of parent ", parent, " of magnification ", level, " is row ", row,
                   ", expected 0 or more");
      list(count++) = row;
    }
  }
  expect_value(count > 0, op, "none of the instances chosen at magnification ", level,
               " has children at magnification ", level + 1, ", expected at least one");
  return {list.data(), {count}};
}

}  // namespace detail

}  // namespace milkit::models
