#pragma once

#include <algorithm>
#include <array>

#include <milkit/ops/rows/fill.hpp>
#include <milkit/topk/zoom.hpp>

/// Zooms one after the other: rows several magnifications above the first selection, through every selection between
/// (docs/papers/zoommil.md 2.6, 8). With links 0 .. Level - 1 and rows h of magnification Level,
///
///     X = (T_{Level-1} kron I) ... (T_1 kron I) (T_0 kron I) h
///
/// where T_0 selects from the instances of magnification 0, and T_m from the rows that T_{m-1} gave at magnification m
/// (row k W + j: child j of row k), or from those of them that exist.
namespace milkit::topk {

/// One of several zooms in a row. `zoom_link_of` makes one.
template <class T, class Space = host_space>
struct zoom_link {
  ops::children<Space> index = {};             ///< of the slide: the children of magnification m in m + 1
  ops::selection<T, Space> selected = {};      ///< at magnification m
  ops::selection<T, Space> present = {};       ///< which of T_{m-1}'s rows it selects from; unused: all
  vector_view<std::uint8_t, Space> used = {};  ///< [instances]: whether any row of `selected` holds it
};

/// A link, and in the backend's kept memory the marks of what is selected.
template <class Backend, class T, class Space>
zoom_link<T, Space> zoom_link_of(Backend& backend, const ops::children<Space>& index,
                                 const ops::selection<T, Space>& selected,
                                 const ops::selection<T, Space>& present = {}) {
  zoom_link<T, Space> link{index, selected, present};
  link.used = backend.kept_memory().template allocate<std::uint8_t>(selected.instances);
  ops::mark_columns(backend, selected, link.used);
  return link;
}

/// Whether all rows that the first `Level` links lead to exist: every instance has all its children.
template <std::size_t Level, class Links>
bool all_present(const Links& links) {
  return std::all_of(links.begin(), links.begin() + Level, [](const auto& link) { return link.index.complete(); });
}

namespace detail {

/// Rows of magnification `Level` that belong to one instance of magnification `from`.
template <std::size_t Level, class Links>
std::int64_t block_of(const Links& links, std::size_t from) {
  std::int64_t rows = 1;
  for (std::size_t m = from; m < Level; ++m) rows *= links[m].index.width;
  return rows;
}
template <std::size_t Level, class Links>
auto descendants(const Links& links) {
  if constexpr (Level == 1) return links[0].index;
  else return ops::grandchildren(descendants<Level - 1>(links), links[Level - 1].index);
}

/// Calls body(index) with the rows of magnification `Level` that belong to an instance of what link m selects from: of
/// the slide at the lowest magnification, of the zoomed rows above it.
template <std::size_t Level, class Backend, class Links, class Body>
void with_index(Backend& backend, const Links& links, std::size_t m, Body&& body) {
  using Space = typename Backend::space;
  const std::int64_t rows = block_of<Level>(links, m);
  const auto& present = links[m].present;
  if (m == 0 && Level == 1) return body(links[0].index);
  if (m == 0) {
    const bool dense =
        std::all_of(links.begin(), links.begin() + Level, [](const auto& link) { return link.index.dense(); });
    return dense ? body(ops::children<Space>{rows}) : body(descendants<Level>(links));
  }
  if (present.instances == 0) return body(ops::children<Space>{rows});
  const auto scope = backend.workspace.scope();
  const std::int64_t count = present.rows() * rows;
  const auto table = backend.workspace.template allocate_on_host<std::int64_t>(count);
  const auto which = to_host(backend, vector_view<const std::int32_t, Space>(present.columns));
  for (std::int64_t i = 0; i < count && !backend.workspace.planning(); ++i)
    table(i) = which(i / rows) * rows + i % rows;
  body(ops::children<Space>{rows, {}, to_backend(backend, vector_view<const std::int64_t>(table))});
}

/// Which rows are worth computing after link m: those that the next one uses. Where that selects from a part of them,
/// all: its marks count other rows.
template <std::size_t Level, class Links>
auto wanted_after(const Links& links, std::size_t m) {
  ops::wanted_rows<typename decltype(links[m].used)::space> rows;
  if (m + 1 < Level && links[m + 1].present.instances == 0) rows = {links[m + 1].used, block_of<Level>(links, m + 1)};
  return rows;
}

}  // namespace detail

/// h [R, d], rows of magnification `Level`, through the first `Level` links: what each of them gives, the last one the
/// zoomed rows; in the backend's kept memory. Of the inner ones only the blocks are written that the next link selects.
/// Missing children, shapes and errors: ops::zoom; gradient: `zoom_chain_backward`.
template <std::size_t Level, class Backend, class Links, class Instances>
auto zoom_chain(Backend& backend, const Links& links, Instances h) {
  using T = typename Instances::value_type;
  using Space = typename Backend::space;
  static_assert(Level >= 1 && Level <= std::tuple_size_v<Links>, "milkit::topk::zoom_chain: a link for each zoom");
  std::array<matrix_view<T, Space>, Level> zoomed;
  for (std::size_t m = 0; m < Level; ++m) {
    const auto& selected = links[m].selected;
    detail::expect_selection_of<std::remove_cvref_t<decltype(selected)>, Backend, Instances>();
    const matrix_view<const T, Space> from = m == 0 ? matrix_view<const T, Space>(h) : zoomed[m - 1];
    if (m > 0 && links[m].present.instances == 0)
      expect_extent("milkit::topk::zoom_chain", message("instances of selection ", m + 1), selected.instances,
                    links[m - 1].selected.rows() * links[m - 1].index.width);
    zoomed[m] = backend.kept_memory().template allocate_rows<T>(
        shape<2>{selected.rows() * detail::block_of<Level>(links, m), h.cols()});
    const auto wanted = detail::wanted_after<Level>(links, m);
    detail::with_index<Level>(backend, links, m,
                              [&](const auto& index) { ops::zoom(backend, selected, index, from, zoomed[m], wanted); });
  }
  return zoomed;
}

/// From drows, the gradient of the rows that `zoom_chain` gave with `zoomed`: adds to dweights[m], in the layout of
/// selection m's weights, for each m where it is not absent, and writes dh where it is not absent.
template <std::size_t Level, class Backend, class Links, class Instances, class Zoomed, class Drows, class Dweights,
          class Dh>
void zoom_chain_backward(Backend& backend, const Links& links, Instances h, const Zoomed& zoomed, Drows drows,
                         const Dweights& dweights, Dh dh) {
  using T = typename Instances::value_type;
  using Space = typename Backend::space;
  const auto scope = backend.workspace.scope();
  matrix_view<const T, Space> upstream(drows);
  for (std::size_t m = Level; m-- > 0;) {
    const bool wanted_below = !dh.absent() || std::any_of(dweights.begin(), dweights.begin() + m,
                                                          [](const auto& each) { return !each.absent(); });
    if (!wanted_below && dweights[m].absent()) return;
    vector_view<T, Space> own;
    if (!dweights[m].absent()) {
      own = backend.workspace.template allocate<T>(links[m].selected.weights.extent(0));
      ops::fill(backend, own, T(0));
    }
    matrix_view<T, Space> below;
    if (m == 0) below = dh;
    else if (wanted_below) below = backend.workspace.template allocate_rows<T>(zoomed[m - 1].shape());
    const matrix_view<const T, Space> from = m == 0 ? matrix_view<const T, Space>(h) : zoomed[m - 1];
    const auto wanted = detail::wanted_after<Level>(links, m);
    detail::with_index<Level>(backend, links, m, [&](const auto& index) {
      ops::zoom_backward(backend, links[m].selected, index, from, upstream, own, below, wanted);
    });
    if (!own.absent()) ops::copy_rows(backend, own, dweights[m], true);
    upstream = below;
  }
}

/// Which of the rows that `zoom_chain<Level>` gives exist, as a selection of one a row: those that some selected parent
/// has a child for. `instances`: those of magnification `Level`. An absent selection where none does.
template <std::size_t Level, class Backend, class T, class Space, std::size_t Count>
ops::selection<T, Space> present_rows(Backend& backend, const std::array<zoom_link<T, Space>, Count>& links,
                                      std::int64_t instances) {
  const std::int64_t rows = links[Level - 1].selected.rows() * links[Level - 1].index.width;
  const auto chosen = backend.workspace.template allocate_on_host<std::int32_t>(rows);
  std::int64_t count = 0;
  {
    // A column of ones arrives as the mass of the parents, 0 where there is none.
    const auto scope = backend.workspace.scope();
    const auto ones = backend.workspace.template allocate<T>(shape<2>{instances, 1});
    ops::fill(backend, ones, T(1));
    const auto arrived = zoom_chain<Level>(backend, links, matrix_view<const T, Space>(ones));
    const auto packed = backend.workspace.template allocate<T>(rows);
    ops::copy_rows(backend, arrived[Level - 1], matrix_view<T, Space>(packed.data(), {rows, 1}));
    const auto mass = to_host(backend, vector_view<const T, Space>(packed));
    for (std::int64_t q = 0; q < rows; ++q)
      if (backend.workspace.planning()) ++count;
      else if (mass(q) > T(0)) chosen(count++) = static_cast<std::int32_t>(q);
  }
  ops::selection<T, Space> present;
  if (count == 0) return present;
  auto& memory = backend.kept_memory();
  present.instances = rows;
  present.single = true;
  present.offsets = memory.template allocate<std::int64_t>(count + 1);
  present.columns = memory.template allocate<std::int32_t>(count);
  present.weights = memory.template allocate<T>(count);
  const auto listed = to_backend(backend, vector_view<const std::int32_t>(chosen.data(), {count}));
  ops::copy_rows(backend, listed, present.columns);
  ops::select_each(backend, false, present.offsets, present.columns, present.weights);
  return present;
}

}  // namespace milkit::topk
