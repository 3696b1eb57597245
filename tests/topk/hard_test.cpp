#include <doctest/doctest.h>

#include <support/floats.hpp>
#include <support/topk_check.hpp>

using namespace milkit;

namespace {

template <class T>
reference::indices hard(const std::vector<T>& scores, std::int64_t k) {
  cpu backend{.threads = 2};
  const auto scope = backend.workspace.scope();
  const auto selected = topk::hard{k}.select(backend, test::vector_of(scores), pass{});
  CHECK(selected.rows() == (std::min)(k, static_cast<std::int64_t>(scores.size())));
  CHECK(selected.single);
  bool ones = true;
  for (std::int64_t row = 0; row < selected.rows(); ++row)
    ones = ones && selected.offsets(row) == row && selected.weights(row) == 1;
  CHECK(ones);
  CHECK(selected.offsets(selected.rows()) == selected.rows());
  std::vector<T> dscores(scores.size(), T(7));
  topk::hard{k}.select_backward(backend, test::vector_of(scores), selected, vector_view<const T>(),
                                vector_view<T>(dscores.data(), {static_cast<std::int64_t>(scores.size())}), pass{});
  CHECK(dscores == std::vector<T>(scores.size(), T(0)));
  reference::indices columns;
  for (std::int64_t row = 0; row < selected.rows(); ++row) columns.push_back(selected.columns(row));
  return columns;
}

}  // namespace

TEST_CASE_TEMPLATE("hard agrees with the oracle at odd sizes, with ties", T, MILKIT_FLOATS) {
  for (const std::int64_t n : {1, 2, 31, 33, 257, 1000, 20001})
    for (const double grid : {0.0, 1.0, 8.0}) {
      auto scores = test::elements(test::normals<T>(shape<1>{n}, static_cast<std::uint64_t>(n)));
      if (grid > 0)
        for (double& each : scores) each = std::round(each * grid) / grid;
      for (const std::int64_t k : {std::int64_t{1}, std::int64_t{2}, n / 3 + 1, n - 1, n, n + 5})
        if (k >= 1) CHECK(hard(test::rounded<T>(scores), k) == reference::top_k(scores, static_cast<std::size_t>(k)));
    }
}

TEST_CASE("hard tells doubles apart that are one float") {
  CHECK(hard(std::vector<double>{0.5, 0.5 + 1e-12, 0.5 - 1e-12, 0.5 + 2e-12}, 2) == reference::indices{1, 3});
}

TEST_CASE_TEMPLATE("hard agrees with the golden tensors", T, MILKIT_FLOATS) {
  for (const std::string name : {"topk_hard", "topk_hard_ties", "topk_hard_equal", "topk_hard_all", "topk_hard_one"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto scores = test::rounded<T>(golden.file().read<double>("scores").values);
    CHECK(golden.equal("selected", hard(scores, golden.option<std::int64_t>("k"))));
  }
}

TEST_CASE_TEMPLATE("hard: zeros of both signs are equal, infinities and NaN have their place", T, MILKIT_FLOATS) {
  constexpr T infinity = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
  CHECK(hard(std::vector<T>{T(-0.0), T(0.0), T(-0.0)}, 2) == reference::indices{0, 1});
  CHECK(hard(std::vector<T>{1, -infinity, nan, infinity, -nan, 2}, 3) == reference::indices{2, 3, 4});
  CHECK(hard(std::vector<T>{1, -infinity, nan, infinity, -nan, 2}, 1) == reference::indices{2});
  CHECK(hard(std::vector<T>{-infinity, -infinity, -infinity}, 2) == reference::indices{0, 1});
  CHECK(hard(std::vector<T>{std::numeric_limits<T>::denorm_min(), 0, -std::numeric_limits<T>::denorm_min()}, 2) ==
        reference::indices{0, 1});
}

TEST_CASE("hard refuses an empty bag and K below 1") {
  cpu backend{.threads = 1};
  const std::vector<float> scores(3);
  CHECK_THROWS_WITH_AS(topk::hard{0}.select(backend, test::vector_of(scores), pass{}),
                       "milkit::topk::hard: k is 0, expected at least 1", value_error);
  CHECK_THROWS_WITH_AS(topk::hard{1}.select(backend, vector_view<const float>(), pass{}),
                       "milkit::topk::hard: the bag has no instances, expected at least 1", value_error);
  tensor<std::int32_t, 1> selected({4});
  CHECK_THROWS_WITH_AS(ops::hard_topk(backend, test::vector_of(scores), selected.view()),
                       "milkit::ops::hard_topk: k is 4, expected 1 to 3, the number of instances", value_error);
}
