#include <doctest/doctest.h>

#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/topk/random.hpp>
#include <milkit/topk/straight_through.hpp>
#include <milkit/topk/zoom_chain.hpp>

#include <support/floats.hpp>
#include <support/topk_check.hpp>

using namespace milkit;
using ops::children;
using test::relative_error;

namespace {

/// A selection from a dense matrix T, with the memory it lives in. Zeros are left out, or kept where `full`.
template <class T>
struct sparse {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> columns;
  std::vector<T> weights;
  std::int64_t instances;

  explicit sparse(const reference::matrix& t, bool full = false) : instances(static_cast<std::int64_t>(t.cols)) {
    for (std::size_t k = 0; k < t.rows; ++k) {
      for (std::size_t n = 0; n < t.cols; ++n)
        if (full || t(k, n) != 0)
          columns.push_back(static_cast<std::int32_t>(n)), weights.push_back(static_cast<T>(t(k, n)));
      offsets.push_back(static_cast<std::int64_t>(columns.size()));
    }
  }
  ops::selection<T> view() {
    const auto extent = [](const auto& v) { return shape<1>{static_cast<std::int64_t>(v.size())}; };
    return {.instances = instances,
            .offsets = {offsets.data(), extent(offsets)},
            .columns = {columns.data(), extent(columns)},
            .weights = {weights.data(), extent(weights)}};
  }
};

/// A sparse matrix with about `density` of its entries, weights that sum to 1 a row.
reference::matrix random_selection(std::size_t k, std::size_t n, double density, std::uint64_t seed) {
  auto t = reference::zeros(k, n);
  const random_stream stream(seed, 1, 2);
  for (std::size_t row = 0; row < k; ++row) {
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) {
      const double u = stream.uniform<double>(row * n + j, 0);
      if (u < density || j == row % n) sum += t(row, j) = u + 0.1;
    }
    for (std::size_t j = 0; j < n; ++j) t(row, j) /= sum;
  }
  return t;
}

/// Children by an index with gaps: parent n has (n 7 + 3) % (width + 1) of them, in rows that are not in order.
struct ragged {
  std::vector<std::int64_t> offsets{0}, rows;
  std::int64_t width;
  ragged(std::int64_t parents, std::int64_t width_, bool shuffled = true) : width(width_) {
    for (std::int64_t n = 0; n < parents; ++n) offsets.push_back(offsets.back() + (n * 7 + 3) % (width + 1));
    for (std::int64_t i = 0; i < offsets.back(); ++i) rows.push_back(shuffled ? offsets.back() - 1 - i : i);
  }
  children<> index() const { return {width, test::vector_of(offsets), test::vector_of(rows)}; }
  std::int64_t count() const { return offsets.back(); }
};

/// The plain double loops of docs/papers/zoommil.md 2.6.
struct oracle {
  reference::matrix out, dweights, dh;
  reference::numbers mass;
  template <class Children>
  oracle(const reference::matrix& t, const Children& index, const reference::matrix& h, const reference::matrix& dout)
      : out(reference::zeros(t.rows * static_cast<std::size_t>(index.width), h.cols)),
        dweights(reference::zeros(t.rows, t.cols)),
        dh(reference::zeros(h.rows, h.cols)),
        mass(out.rows, 0.0) {
    for (std::size_t k = 0; k < t.rows; ++k)
      for (std::size_t n = 0; n < t.cols; ++n)
        for (std::int64_t j = 0; j < index.width; ++j) {
          const std::int64_t row = index.row(static_cast<std::int64_t>(n), j);
          if (row < 0) continue;
          const std::size_t q = k * static_cast<std::size_t>(index.width) + static_cast<std::size_t>(j);
          mass[q] += t(k, n);
          for (std::size_t d = 0; d < h.cols; ++d) {
            out(q, d) += t(k, n) * h(static_cast<std::size_t>(row), d);
            dweights(k, n) += dout(q, d) * h(static_cast<std::size_t>(row), d);
            dh(static_cast<std::size_t>(row), d) += t(k, n) * dout(q, d);
          }
        }
  }
};

template <class T>
struct zoomed {
  tensor<T, 2> out, dh;
  std::vector<T> dweights, mass;
};
template <class T, class Children>
zoomed<T> run_zoom(sparse<T>& t, const Children& index, const tensor<T, 2>& h, const tensor<T, 2>& dout,
                   int threads = 2) {
  cpu backend{.threads = threads};
  const auto selected = t.view();
  zoomed<T> got{tensor<T, 2>(dout.shape()), tensor<T, 2>(h.shape()), std::vector<T>(t.weights.size()),
                std::vector<T>(static_cast<std::size_t>(dout.rows()))};
  const auto vector = [](std::vector<T>& v) { return vector_view<T>(v.data(), {static_cast<std::int64_t>(v.size())}); };
  ops::zoom(backend, selected, index, h.view(), got.out.view());
  ops::zoom_backward(backend, selected, index, h.view(), dout.view(), vector(got.dweights), got.dh.view());
  ops::zoom_mass(backend, selected, index, vector(got.mass));
  return got;
}

template <class T, class Children>
void check(const reference::matrix& t, const Children& index, std::int64_t rows, std::int64_t d) {
  const auto h = test::normals<T>(shape<2>{rows, d}, 3);
  const auto dout = test::normals<T>(shape<2>{static_cast<std::int64_t>(t.rows) * index.width, d}, 4);
  const oracle want(t, index, test::matrix_of(h), test::matrix_of(dout));
  sparse<T> s(t);
  const auto got = run_zoom(s, index, h, dout);
  const double bound = test::tolerance_of<T>(1e-13, 5e-6);
  CHECK(relative_error(got.out, want.out.values) <= bound);
  CHECK(relative_error(got.dh, want.dh.values) <= bound);
  CHECK(relative_error(got.mass, want.mass) <= bound);
  CHECK(relative_error(got.dweights, test::at_nonzeros(s.view(), want.dweights)) <= bound);
  const auto one = run_zoom(s, index, h, dout, 1);
  CHECK(test::same_bits(got.out, one.out));
  CHECK(test::same_bits(got.dh, one.dh));
  CHECK(test::same_bits(got.dweights, one.dweights));
}

}  // namespace

TEST_CASE_TEMPLATE("zoom agrees with the oracle, dense and ragged", T, MILKIT_FLOATS) {
  for (const std::int64_t d : {1, 31, 300, 1030})
    for (const auto& [k, n] : {std::pair<std::size_t, std::size_t>{1, 1}, {3, 9}, {12, 62}, {33, 100}}) {
      const auto t = random_selection(k, n, 0.2, 5);
      for (const std::int64_t width : {1, 4, 16})
        check<T>(t, children<>{width}, static_cast<std::int64_t>(n) * width + 3, d);
      for (const bool shuffled : {false, true}) {
        const ragged index(static_cast<std::int64_t>(n), 5, shuffled);
        check<T>(t, index.index(), index.count(), d);
      }
    }
}

TEST_CASE_TEMPLATE("zoom agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const std::string name : {"topk_zoom", "topk_zoom_16", "topk_zoom_one", "topk_zoom_ragged"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto t = test::matrix_of(golden.get<double, 2>("indicator"));
    std::vector<std::int64_t> offsets, rows;
    children<> index;
    if (golden.has("child_offsets")) {
      offsets = golden.file().read<std::int64_t>("child_offsets").values;
      rows = golden.file().read<std::int64_t>("child_index").values;
      for (std::size_t n = 0; n + 1 < offsets.size(); ++n)
        index.width = (std::max)(index.width, offsets[n + 1] - offsets[n]);
      index.offsets = test::vector_of(offsets);
      index.rows = test::vector_of(rows);
    } else {
      index.width = golden.option<std::int64_t>("ratio");
    }
    sparse<T> all(t, true), s(t);  // the golden gradient is given where T is 0 too
    const auto got = run_zoom(all, index, golden.get<T, 2>("children"), golden.get<T, 2>("grad_output"));
    const double bound = test::tolerance_of<T>(1e-10, 1e-5);
    CHECK(golden.error("output", got.out) <= bound);
    CHECK(golden.error("grad.children", got.dh) <= bound);
    CHECK(golden.error("grad.indicator", got.dweights) <= bound);
    if (golden.has("mass")) CHECK(golden.error("mass", got.mass) <= bound);
    const auto sparse_got = run_zoom(s, index, golden.get<T, 2>("children"), golden.get<T, 2>("grad_output"));
    CHECK(golden.error("output", sparse_got.out) <= bound);
    CHECK(golden.error("grad.children", sparse_got.dh) <= bound);
  }
}

TEST_CASE_TEMPLATE("zoom of a hard selection agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const std::string name : {"topk_zoom_hard", "topk_zoom_hard_ragged"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const bool has_index = golden.has("child_offsets");
    const auto chosen = golden.file().read<std::int64_t>("selected").values;
    const auto h = golden.get<T, 2>("children");
    std::vector<std::int64_t> offsets, rows;
    children<> index;
    if (has_index) {
      offsets = golden.file().read<std::int64_t>("child_offsets").values;
      rows = golden.file().read<std::int64_t>("child_index").values;
      for (std::size_t n = 0; n + 1 < offsets.size(); ++n)
        index.width = (std::max)(index.width, offsets[n + 1] - offsets[n]);
      index.offsets = test::vector_of(offsets);
      index.rows = test::vector_of(rows);
    } else {
      index.width = golden.option<std::int64_t>("ratio");
    }
    const std::int64_t n = has_index ? static_cast<std::int64_t>(offsets.size()) - 1 : h.rows() / index.width;
    std::vector<T> scores(static_cast<std::size_t>(n), T(0));
    for (const std::int64_t each : chosen) scores[static_cast<std::size_t>(each)] = T(1);
    cpu backend{.threads = 2};
    const auto selected =
        topk::hard{static_cast<std::int64_t>(chosen.size())}.select(backend, test::vector_of(scores), pass{});
    const auto list = topk::children_of(backend, selected, index);
    const std::int64_t count = list.offsets(selected.rows());
    CHECK(golden.equal("rows", list.rows.rows(0, count)));
    if (has_index) CHECK(golden.equal("output_offsets", list.offsets));
    tensor<T, 2> out(shape<2>{count, h.view().cols()});
    ops::gather_rows(backend, h.view(), list.rows.rows(0, count), out.view());
    CHECK(test::same_bits(out, golden.get<T, 2>("output")));
    // The same through the soft path: row k W + j, children that do not exist left out.
    const auto soft = topk::zoom(backend, selected, index, h.view());
    const auto upstream = golden.get<T, 2>("grad_output");
    tensor<T, 2> dsoft(soft.shape()), dh(h.shape());
    for (std::int64_t k = 0; k < selected.rows(); ++k)
      for (std::int64_t i = list.offsets(k); i < list.offsets(k + 1); ++i) {
        const std::int64_t q = k * index.width + i - list.offsets(k);
        CHECK(test::same_bits(soft.rows(q, 1), out.view().rows(i, 1)));
        std::copy_n(upstream.view().row(i), h.view().cols(), dsoft.view().row(q));
      }
    static_cast<void>(topk::zoom_backward(backend, selected, index, h.view(), dsoft.view(), dh.view()));
    CHECK(golden.error("grad.children", dh) <= test::tolerance_of<T>(1e-10, 1e-5));
  }
}

TEST_CASE_TEMPLATE("perturbed top-K and zoom together agree with the golden tensors", T, MILKIT_FLOATS) {
  const test::golden_case golden("topk_zoom_perturbed");
  const auto scores = test::rounded<T>(golden.file().read<double>("scores").values);
  const auto noise = golden.get<T, 2>("noise"), h = golden.get<T, 2>("children"),
             dout = golden.get<T, 2>("grad_output");
  topk::basic_perturbed<topk::noise_of_table<T>> op{.k = golden.option<std::int64_t>("k"),
                                                    .samples = noise.rows(),
                                                    .sigma = golden.option<double>("sigma"),
                                                    .noise = {{noise.view()}}};
  const children<> index{golden.option<std::int64_t>("ratio")};
  const double bound = test::tolerance_of<T>(1e-10, 1e-5);
  for (const bool diagonal : {false, true}) {
    op.jacobian = diagonal ? topk::jacobian::diagonal : topk::jacobian::full;
    cpu backend{.threads = 2};
    const pass training{.training = true};
    const auto selected = op.select(backend, test::vector_of(scores), training);
    CHECK(golden.error("indicator", test::dense(selected).values) <= bound);
    CHECK(golden.error("output", topk::zoom(backend, selected, index, h.view())) <= bound);
    tensor<T, 2> dh(h.shape());
    tensor<T, 1> dscores(shape<1>{static_cast<std::int64_t>(scores.size())});
    const auto dweights = topk::zoom_backward(backend, selected, index, h.view(), dout.view(), dh.view());
    op.select_backward(backend, test::vector_of(scores), selected, dweights, dscores.view(), training);
    CHECK(golden.error("grad.children", dh) <= bound);
    CHECK(golden.error(diagonal ? "grad_diagonal.scores" : "grad.scores", dscores) <= bound);
  }
}

TEST_CASE_TEMPLATE("two zooms in a row agree with the golden tensors, and compute only the inner rows in use", T, float,
                   double) {
  const test::golden_case golden("topk_zoom_composed");
  const double bound = test::tolerance_of<T>(1e-10, 1e-5);
  const auto t1 = test::matrix_of(golden.get<double, 2>("indicator1")),
             t2 = test::matrix_of(golden.get<double, 2>("indicator2"));
  const children<> index1{golden.option<std::int64_t>("ratio12")}, index2{golden.option<std::int64_t>("ratio23")};
  const auto h = golden.get<T, 2>("children"), dout = golden.get<T, 2>("grad_output");
  const auto inner = golden.get<double, 2>("inner");
  for (const bool full : {true, false}) {
    sparse<T> s1(t1, full), s2(t2, full);
    cpu backend{.threads = 2};
    const std::array links{topk::zoom_link_of(backend, index1, s1.view()),
                           topk::zoom_link_of(backend, index2, s2.view())};
    const auto zoomed = topk::zoom_chain<2>(backend, links, h.view());
    CHECK(golden.error("output", zoomed[1]) <= bound);
    std::vector<T> d1(s1.weights.size()), d2(s2.weights.size());
    const auto vector = [](std::vector<T>& v) {
      return vector_view<T>(v.data(), {static_cast<std::int64_t>(v.size())});
    };
    tensor<T, 2> dh(h.shape());
    topk::zoom_chain_backward<2>(backend, links, h.view(), zoomed, dout.view(), std::array{vector(d1), vector(d2)},
                                 dh.view());
    CHECK(golden.error("grad.children", dh) <= bound);
    if (full) {
      CHECK(golden.error("grad.indicator1", d1) <= bound);
      CHECK(golden.error("grad.indicator2", d2) <= bound);
      CHECK(golden.error("inner", zoomed[0]) <= bound);
    } else {
      const auto g1 = test::matrix_of(golden.get<double, 2>("grad.indicator1")),
                 g2 = test::matrix_of(golden.get<double, 2>("grad.indicator2"));
      CHECK(relative_error(d1, test::at_nonzeros(s1.view(), g1)) <= bound);
      CHECK(relative_error(d2, test::at_nonzeros(s2.view(), g2)) <= bound);
    }
    // What is not in use is not touched.
    auto few = reference::zeros(2, t2.cols);
    few(0, 1) = few(1, 1) = 0.5, few(1, 4) = 0.5;
    sparse<T> s3(few);
    tensor<T, 2> own(shape<2>{s3.instances * index2.width, h.view().cols()});
    std::fill_n(own.data(), own.size(), T(99));
    std::vector<std::uint8_t> used(static_cast<std::size_t>(s3.instances), 7);
    const vector_view<std::uint8_t> marks(used.data(), {s3.instances});
    ops::mark_columns(backend, s3.view(), marks);
    ops::zoom(backend, s1.view(), ops::grandchildren(index1, index2), h.view(), own.view(), {marks, index2.width});
    for (std::int64_t q = 0; q < own.rows(); ++q) {
      const std::int64_t block = q / index2.width;
      CHECK((used[static_cast<std::size_t>(block)] != 0) == (block == 1 || block == 4));
      if (block == 1 || block == 4)
        CHECK(relative_error(own.view().rows(q, 1), inner.view().rows(q, 1)) <= test::tolerance_of<T>(1e-9, 1e-4));
      else
        for (const double each : test::elements(own.view().rows(q, 1))) CHECK(each == 99);
    }
  }
}

TEST_CASE("zoom: central differences, in the weights and through the rows, of one zoom and of two") {
  cpu backend{.threads = 1};
  const ragged c1(7, 3), c2(c1.count(), 2);
  const auto t1 = random_selection(3, 7, 0.5, 8), t2 = random_selection(2, 9, 0.4, 9);
  sparse<double> s1(t1), s2(t2);
  auto h1 = test::normals<double>(shape<2>{c1.count(), 5}, 1), h2 = test::normals<double>(shape<2>{c2.count(), 5}, 2);
  const auto d1 = test::normals<double>(shape<2>{9, 5}, 3), d2 = test::normals<double>(shape<2>{4, 5}, 4);
  const auto vector = [](std::vector<double>& v) {
    return vector_view<double>(v.data(), {static_cast<std::int64_t>(v.size())});
  };
  const auto got = run_zoom(s1, c1.index(), h1, d1);
  const auto loss = [&] { return test::inner(run_zoom(s1, c1.index(), h1, d1).out, d1); };
  CHECK(relative_error(got.dweights, test::central_differences(vector(s1.weights), loss)) <= 1e-8);
  CHECK(relative_error(got.dh, test::central_differences(h1.view(), loss)) <= 1e-8);
  const auto twice = [&] {
    const auto scope = backend.workspace.scope();
    const std::array links{topk::zoom_link_of(backend, c1.index(), s1.view()),
                           topk::zoom_link_of(backend, c2.index(), s2.view())};
    return test::inner(topk::zoom_chain<2>(backend, links, h2.view())[1], d2);
  };
  const std::array links{topk::zoom_link_of(backend, c1.index(), s1.view()),
                         topk::zoom_link_of(backend, c2.index(), s2.view())};
  const auto zoomed = topk::zoom_chain<2>(backend, links, h2.view());
  std::vector<double> dw1(s1.weights.size()), dw2(s2.weights.size());
  tensor<double, 2> dh2(h2.shape());
  topk::zoom_chain_backward<2>(backend, links, h2.view(), zoomed, d2.view(), std::array{vector(dw1), vector(dw2)},
                               dh2.view());
  CHECK(relative_error(dw1, test::central_differences(vector(s1.weights), twice)) <= 1e-8);
  CHECK(relative_error(dw2, test::central_differences(vector(s2.weights), twice)) <= 1e-8);
  CHECK(relative_error(dh2, test::central_differences(h2.view(), twice)) <= 1e-8);
}

TEST_CASE_TEMPLATE("a chain of zooms agrees with the oracle's zooms, also where it selects from the rows that exist", T,
                   MILKIT_FLOATS) {
  const ragged c0(9, 3), c1(c0.count(), 2), c2(c1.count(), 3);
  const std::int64_t d = 37;
  const auto h = test::normals<T>(shape<2>{c2.count(), d}, 3);
  const double bound = test::tolerance_of<T>(1e-12, 1e-5);
  cpu backend{.threads = 2};
  const auto vector = [](std::vector<T>& v) { return vector_view<T>(v.data(), {static_cast<std::int64_t>(v.size())}); };
  for (const bool parts : {false, true}) {
    CAPTURE(parts);
    const auto t0 = random_selection(4, 9, 0.1, 8);
    sparse<T> s0(t0);
    std::array<topk::zoom_link<T>, 3> links{topk::zoom_link_of(backend, c0.index(), s0.view())};
    // Where T1 selects from: all 12 rows of T0, or those that exist, found by plain loops too.
    const oracle first(t0, c0.index(), reference::zeros(static_cast<std::size_t>(c0.count()), 1),
                       reference::zeros(12, 1));
    std::vector<std::int64_t> exist, table;
    for (std::int64_t q = 0; q < 12; ++q)
      if (!parts || first.mass[static_cast<std::size_t>(q)] > 0) exist.push_back(q);
    ops::selection<T> present;
    if (parts) {
      present = topk::present_rows<1>(backend, links, c0.count());
      CHECK(exist.size() < 12);
      CHECK(test::elements(present.columns) == test::elements(exist));
      CHECK(present.instances == 12);
    }
    const auto t1 = random_selection(5, exist.size(), 0.3, 9), t2 = random_selection(3, 10, 0.4, 10);
    sparse<T> s1(t1), s2(t2);
    links[1] = topk::zoom_link_of(backend, c1.index(), s1.view(), present);
    links[2] = topk::zoom_link_of(backend, c2.index(), s2.view());
    const auto zoomed = topk::zoom_chain<3>(backend, links, h.view());
    const auto dout = test::normals<T>(shape<2>{9, d}, 4);
    std::vector<T> d0(s0.weights.size(), T(1)), d1(s1.weights.size()), d2(s2.weights.size());
    tensor<T, 2> dh(h.shape());
    topk::zoom_chain_backward<3>(backend, links, h.view(), zoomed, dout.view(),
                                 std::array{vector(d0), vector(d1), vector(d2)}, dh.view());
    for (T& each : d0) each -= T(1);  // it was added to

    // (T2 kron I_3) (T1 kron I_6) (T0 kron I_18) h, one after the other.
    for (const std::int64_t q : exist)
      for (std::int64_t i = 0; i < 6; ++i) table.push_back(q * 6 + i);
    const children<> inner{6, {}, test::vector_of(table)}, last{3};
    const auto index0 = ops::grandchildren(ops::grandchildren(c0.index(), c1.index()), c2.index());
    const auto none = [](std::size_t rows) { return reference::zeros(rows, 37); };
    const auto y0 = oracle(t0, index0, test::matrix_of(h), none(72)).out;
    const auto y1 = oracle(t1, inner, y0, none(30)).out;
    const oracle back2(t2, last, y1, test::matrix_of(dout));
    const oracle back1(t1, inner, y0, back2.dh), back0(t0, index0, test::matrix_of(h), back1.dh);
    CHECK(relative_error(zoomed[2], back2.out.values) <= bound);
    CHECK(relative_error(dh, back0.dh.values) <= bound);
    CHECK(relative_error(d2, test::at_nonzeros(s2.view(), back2.dweights)) <= bound);
    CHECK(relative_error(d1, test::at_nonzeros(s1.view(), back1.dweights)) <= bound);
    CHECK(relative_error(d0, test::at_nonzeros(s0.view(), back0.dweights)) <= 10 * bound);

    // Gradients that nobody wants are left out, and change no other.
    std::vector<T> only(s1.weights.size());
    topk::zoom_chain_backward<3>(backend, links, h.view(), zoomed, dout.view(),
                                 std::array{vector_view<T>(), vector(only), vector_view<T>()}, matrix_view<T>());
    CHECK(test::same_bits(only, d1));
  }
}

TEST_CASE("a chain of zooms refuses a selection from another number of rows, and finds that no row exists") {
  cpu backend{.threads = 1};
  sparse<float> first(random_selection(2, 3, 0.5, 1)), second(random_selection(2, 5, 0.5, 1));
  const std::array links{topk::zoom_link_of(backend, children<>{2}, first.view()),
                         topk::zoom_link_of(backend, children<>{2}, second.view())};
  const tensor<float, 2> h(shape<2>{12, 2});
  CHECK_THROWS_WITH_AS(topk::zoom_chain<2>(backend, links, h.view()),
                       "milkit::topk::zoom_chain: instances of selection 2 is 5, expected 4", shape_error);
  const std::vector<std::int64_t> none(4, 0);
  const std::array childless{topk::zoom_link_of(backend, children<>{2, test::vector_of(none)}, first.view())};
  CHECK(topk::present_rows<1>(backend, childless, 0).offsets.absent());
}

TEST_CASE("zoom: on integers the sparse path has the bits of a dense one") {
  cpu backend{.threads = 2};
  const std::int64_t n = 90, k = 11;
  auto scores = test::elements(test::normals<float>(shape<1>{n}, 2));
  const auto a = test::rounded<float>(scores);
  const topk::perturbed op{.k = k, .samples = 64, .sigma = 0.7};  // counts / 64 is exact
  const auto selected = op.select(backend, test::vector_of(a), {.training = true, .random = random_stream(1, 1, 1)});
  auto h = test::normals<float>(shape<2>{n * 4, 33}, 3);
  for (std::int64_t i = 0; i < h.size(); ++i) h.data()[i] = std::round(h.data()[i] * 20);
  const auto got = topk::zoom(backend, selected, children<>{4}, h.view());
  const auto t = test::dense(selected);
  const oracle want(t, children<>{4}, test::matrix_of(h), reference::zeros(static_cast<std::size_t>(k * 4), 33));
  CHECK(test::elements(got) == want.out.values);
}

TEST_CASE("zoom: a permutation of the children within each block permutes the rows") {
  const auto t = random_selection(5, 20, 0.3, 5);
  const auto h = test::normals<double>(shape<2>{80, 7}, 3), dout = test::normals<double>(shape<2>{20, 7}, 4);
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 80; ++i) rows.push_back(i / 4 * 4 + (i + 3) % 4 * 3 % 4);
  std::vector<std::int64_t> block(rows.begin(), rows.begin() + 4);
  sparse<double> s(t);
  const auto plain = run_zoom(s, children<>{4}, h, dout),
             moved = run_zoom(s, children<>{4, {}, test::vector_of(rows)}, h, dout);
  for (std::int64_t q = 0; q < 20; ++q)
    CHECK(test::same_bits(moved.out.view().rows(q, 1),
                          plain.out.view().rows(q / 4 * 4 + block[static_cast<std::size_t>(q % 4)], 1)));
}

TEST_CASE("zoom refuses what does not fit") {
  cpu backend{.threads = 1};
  sparse<float> s(random_selection(2, 3, 0.5, 1));
  tensor<float, 2> h(shape<2>{5, 2}), out(shape<2>{4, 2});
  const auto refuse = [&](const children<>& index, const char* text) {
    CHECK_THROWS_WITH(ops::zoom(backend, s.view(), index, h.view(), out.view()), text);
  };
  const std::vector<std::int64_t> many{0, 1, 4, 5}, back{0, 2, 1, 3}, beyond{0, 2, 4, 6}, short_one{0, 2, 4},
      outside{0, 1, 5}, below{0, -1, 2}, good{0, 1, 2, 3};
  refuse({2}, "milkit::ops::zoom: 3 parents with 2 children each have 6 rows, but there are 5");
  refuse({2, test::vector_of(many)}, "milkit::ops::zoom: parent 1 has 3 children, expected 0 to 2");
  refuse({2, test::vector_of(back)}, "milkit::ops::zoom: parent 1 has -1 children, expected 0 to 2");
  refuse({2, test::vector_of(beyond)}, "milkit::ops::zoom: the children's offsets end at 6, expected at most 5");
  refuse({2, test::vector_of(short_one)}, "milkit::ops::zoom: extent of the children's offsets is 3, expected 4");
  refuse({2, test::vector_of(good), test::vector_of(outside)},
         "milkit::ops::zoom: the children's rows[2] is 5, expected 0 to 4");
  refuse({2, test::vector_of(good), test::vector_of(below)},
         "milkit::ops::zoom: the children's rows[1] is -1, expected 0 to 4");
  refuse({1}, "milkit::ops::zoom: the zoomed rows is [4, 2], expected [2, 2]");
  refuse({0}, "milkit::ops::zoom: the width of the children is 0, expected at least 1");
  CHECK_THROWS_AS(topk::children_of(backend, s.view(), children<>{1}), value_error);
  const std::vector<std::int64_t> rows{0, 5};
  CHECK_THROWS_WITH(ops::gather_rows(backend, h.view(), test::vector_of(rows), out.view().rows(0, 2)),
                    "milkit::ops::gather_rows: rows[1] is 5, expected 0 to 4");
}

TEST_CASE("zoom: a parent without children, NaN in a row that is not selected") {
  const std::vector<std::int64_t> offsets{0, 1, 1, 2};
  auto t = reference::zeros(2, 3);
  t(0, 1) = 1;
  t(1, 0) = 1;
  sparse<float> s(t);
  tensor<float, 2> h(shape<2>{2, 3});
  for (int i = 0; i < 3; ++i) h.view()(0, i) = 4, h.view()(1, i) = std::numeric_limits<float>::quiet_NaN();
  const auto got = run_zoom(s, children<>{1, test::vector_of(offsets)}, h, tensor<float, 2>(shape<2>{2, 3}));
  CHECK(test::elements(got.out) == std::vector<double>{0, 0, 0, 4, 4, 4});
  CHECK(got.mass == std::vector<float>{0, 1});
}
