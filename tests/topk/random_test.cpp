#include <doctest/doctest.h>

#include <map>

#include <milkit/topk/random.hpp>

#include <support/chance.hpp>
#include <support/topk_check.hpp>

using namespace milkit;

namespace {

reference::indices draw(std::int64_t n, std::int64_t k, random_stream stream, bool training = true) {
  cpu backend{.threads = 2};
  const auto scope = backend.workspace.scope();
  const std::vector<float> scores(static_cast<std::size_t>(n));
  const topk::random op{k};
  const auto selected = op.select(backend, test::vector_of(scores), {training, stream});
  CHECK(selected.single);
  std::vector<float> dscores(scores.size(), 7);
  op.select_backward(backend, test::vector_of(scores), selected, vector_view<const float>(),
                     vector_view<float>(dscores.data(), {n}), pass{});
  CHECK(dscores == scores);
  reference::indices columns;
  for (std::int64_t row = 0; row < selected.rows(); ++row) {
    columns.push_back(selected.columns(row));
    CHECK(selected.weights(row) == 1);
    if (row > 0) CHECK(columns[static_cast<std::size_t>(row)] > columns[static_cast<std::size_t>(row) - 1]);
  }
  return columns;
}

}  // namespace

TEST_CASE("random: every subset alike, without replacement") {
  constexpr int many = 30000;
  std::map<reference::indices, int> counts;
  for (std::uint64_t step = 0; step < many; ++step) ++counts[draw(6, 3, random_stream(1, step, 2))];
  CHECK(counts.size() == 20);
  std::vector<double> seen;
  for (const auto& [subset, count] : counts) seen.push_back(count);
  CHECK(test::as_often_as(std::vector<double>(20, 0.05), seen, many));
}

TEST_CASE("random: ascending instances at any size, the same for one stream, in training and not") {
  for (const std::int64_t n : {1, 2, 33, 257, 1000, 10001})
    for (const std::int64_t k : {std::int64_t{1}, n / 2 + 1, n, n + 2}) {
      const auto got = draw(n, k, random_stream(1, 2, 3));
      CHECK(static_cast<std::int64_t>(got.size()) == (std::min)(k, n));
      CHECK(got == draw(n, k, random_stream(1, 2, 3), false));
      if (n > 100 && k < n) CHECK(got != draw(n, k, random_stream(1, 2, 4)));
    }
  CHECK_THROWS_WITH_AS(draw(5, 0, {}), "milkit::topk::random: k is 0, expected at least 1", value_error);
  CHECK_THROWS_WITH_AS(draw(0, 1, {}), "milkit::topk::random: the bag has no instances, expected at least 1",
                       value_error);
}
