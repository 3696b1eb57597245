#pragma once

#include <milkit/ops/selection/zoom.hpp>
#include <milkit/topk/topk.hpp>

/// Zooming: from a selection of instances to rows of the next magnifications, through the index that says which rows
/// belong to which parent (`ops::children`: offsets for any number of children, none for the dense r = 4^k blocks).
namespace milkit::topk {

namespace detail {
template <class Selection, class Backend, class Instances>
constexpr void expect_selection_of() {
  static_assert(std::is_same_v<Selection, ops::selection<typename Instances::value_type, typename Backend::space>>,
                "milkit::topk::zoom: the selection is of another memory space or number type than the rows");
}
}  // namespace detail

/// The rows that a selection zooms to, [K W, d] in the backend's kept memory: convex mixtures where the selection is
/// soft, copies where it is hard (docs/papers/zoommil.md 2.6). Missing children, shapes and errors: ops::zoom;
/// gradient:
/// `zoom_backward`.
template <class Backend, class Selection, class Children, class Instances>
auto zoom(Backend& backend, const Selection& selected, const Children& index, Instances h) {
  detail::expect_selection_of<Selection, Backend, Instances>();
  const auto rows = backend.kept_memory().template allocate_rows<typename Instances::value_type>(
      shape<2>{selected.rows() * index.width, h.cols()});
  ops::zoom(backend, selected, index, h, rows);
  return rows;
}

/// The gradient of `zoom`: dweights for `select_backward` in the backend's kept memory, and dh unless it is absent (h
/// constant).
template <class Backend, class Selection, class Children, class Instances, class Drows, class Dh>
auto zoom_backward(Backend& backend, const Selection& selected, const Children& index, Instances h, Drows drows,
                   Dh dh) {
  using T = typename Instances::value_type;
  const auto dweights = backend.kept_memory().template allocate<T>(selected.weights.extent(0));
  ops::zoom_backward(backend, selected, index, h, drows, dweights, dh);
  return dweights;
}

/// Rows of a hard selection at inference, without arithmetic: `rows` lists the children of the selected parents,
/// `offsets` where each parent's begin; both in the backend's kept memory, read by `ops::gather_rows` or by whoever
/// encodes those tiles.
template <class Space = host_space>
struct child_list {
  vector_view<std::int64_t, Space> offsets, rows;  ///< [K + 1]; [K W], of which offsets[K] are written
};
template <class Backend, class Selection, class Children>
auto children_of(Backend& backend, const Selection& selected, const Children& index) {
  using Space = typename Backend::space;
  expect_value(selected.single, "milkit::topk::children_of", "the selection is soft, expected one instance a row");
  auto& memory = backend.kept_memory();
  child_list<Space> list{memory.template allocate<std::int64_t>(selected.rows() + 1),
                         memory.template allocate<std::int64_t>(selected.rows() * index.width)};
  ops::child_rows(backend, selected.columns, index, list.offsets, list.rows);
  return list;
}

}  // namespace milkit::topk
