#include <doctest/doctest.h>

#include <milkit/ops/selection/zoom_cpu.hpp>
#include <milkit/topk/straight_through.hpp>
#include <milkit/topk/zoom.hpp>

#include <support/floats.hpp>
#include <support/topk_check.hpp>

using namespace milkit;
using test::relative_error, test::run_topk;

TEST_CASE_TEMPLATE("straight-through selects as hard does and passes the gradient of the selected", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {1, 2, 33, 1000})
    for (const std::int64_t k : {std::int64_t{1}, n / 2 + 1, n, n + 3}) {
      const auto scores = test::rounded<T>(test::elements(test::normals<double>(shape<1>{n}, 3)));
      const std::size_t rows = static_cast<std::size_t>((std::min)(k, n));
      const auto g = test::matrix_of(test::normals<double>(shape<2>{static_cast<std::int64_t>(rows), n}, 4));
      const auto got = run_topk(topk::straight_through{k}, scores, g), hard = run_topk(topk::hard{k}, scores, g);
      CHECK(got.indicator.values == hard.indicator.values);
      const auto selected = reference::top_k(test::elements(scores), static_cast<std::size_t>(k));
      std::vector<double> want(scores.size(), 0.0);
      for (std::size_t row = 0; row < rows && k < n; ++row)
        want[static_cast<std::size_t>(selected[row])] = g(row, static_cast<std::size_t>(selected[row]));
      CHECK(relative_error(got.dscores, want) <= test::tolerance_of<T>(0, 1e-7));
    }
}

TEST_CASE("straight-through is the gradient of 1 + a - stop(a) as the weight of what was selected") {
  const std::int64_t n = 20, k = 4, d = 3;
  const auto scores = test::normals<double>(shape<1>{n}, 3);
  const auto h = test::normals<double>(shape<2>{n * 2, d}, 4), dout = test::normals<double>(shape<2>{k * 2, d}, 5);
  cpu backend{.threads = 1};
  const topk::straight_through op{k};
  auto selected = op.select(backend, scores.view(), pass{.training = true});
  const auto dweights =
      topk::zoom_backward(backend, selected, ops::children<>{2}, h.view(), dout.view(), matrix_view<double>());
  tensor<double, 1> dscores(shape<1>{n});
  op.select_backward(backend, scores.view(), selected, dweights, dscores.view(), pass{.training = true});
  const auto differences = test::central_differences(selected.weights, [&] {
    const auto scope = backend.workspace.scope();
    return test::inner(topk::zoom(backend, selected, ops::children<>{2}, h.view()), dout);
  });
  for (std::int64_t row = 0; row < k; ++row)
    CHECK(test::close(dscores.view()(selected.columns(row)), differences[static_cast<std::size_t>(row)], {1e-8}));
}

TEST_CASE("straight-through refuses an empty bag and K below 1") {
  CHECK_THROWS_WITH_AS(run_topk(topk::straight_through{0}, std::vector<float>(3), reference::zeros(1, 3)),
                       "milkit::topk::straight_through: k is 0, expected at least 1", value_error);
  CHECK_THROWS_WITH_AS(run_topk(topk::straight_through{1}, std::vector<float>(), reference::zeros(1, 3)),
                       "milkit::topk::straight_through: the bag has no instances, expected at least 1", value_error);
}
