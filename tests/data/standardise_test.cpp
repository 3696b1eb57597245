#include <milkit/data/standardise.hpp>

#include <random>

#include <doctest/doctest.h>

#include <support/close.hpp>

using namespace milkit;
using test::close;

namespace {

tensor<float, 2> noise(std::int64_t rows, std::int64_t features, unsigned seed) {
  tensor<float, 2> made({rows, features});
  std::mt19937 random(seed);
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < features; ++j)
      made.view()(i, j) = static_cast<float>(100.0 * static_cast<double>(j) +
                                             static_cast<double>(j + 1) * static_cast<double>(random() % 1000) / 100);
  return made;
}

}  // namespace

TEST_CASE("standardiser: rows added -> their mean and deviation, of no other rows") {
  const auto first = noise(31, 3, 1), second = noise(70, 3, 2);
  data::standardiser how(3);
  how.add(first.view());
  how.add(second.view());
  for (std::int64_t j = 0; j < 3; ++j) {
    double sum = 0, square = 0;
    for (const auto* each : {&first, &second})
      for (std::int64_t i = 0; i < each->rows(); ++i) sum += static_cast<double>(each->view()(i, j));
    for (const auto* each : {&first, &second})
      for (std::int64_t i = 0; i < each->rows(); ++i)
        square += std::pow(static_cast<double>(each->view()(i, j)) - sum / 101, 2);
    CHECK(close(how.mean(j), sum / 101, {.relative = 1e-12}));
    CHECK(close(how.scale(j), 1 / std::sqrt(square / 101), {.relative = 1e-12}));
  }
  auto applied = first.clone();
  how.apply(applied.view());
  CHECK(close(static_cast<double>(applied.view()(4, 1)),
              (static_cast<double>(first.view()(4, 1)) - how.mean(1)) * how.scale(1), {.relative = 1e-6}));
}

TEST_CASE("standardiser: a constant feature is shifted only; without rows nothing changes") {
  tensor<float, 2> constant({5, 1});
  std::fill_n(constant.data(), 5, 3.0f);
  data::standardiser how(1);
  CHECK(how.mean(0) == 0);
  CHECK(how.scale(0) == 1);
  how.add(constant.view());
  CHECK(how.scale(0) == 1);
  how.apply(constant.view());
  CHECK(constant.view()(2, 0) == 0);
}

TEST_CASE("standardiser: folded into a layer -> the same outputs from raw features") {
  const auto features = noise(9, 4, 3);
  data::standardiser how(4);
  how.add(features.view());
  auto standard = features.clone();
  how.apply(standard.view());
  tensor<float, 2> weight = noise(2, 4, 5);
  tensor<float, 1> bias({2});
  bias.view()(1) = 0.5f;
  const auto output = [&](const tensor<float, 2>& x, std::int64_t i, std::int64_t o) {
    double sum = static_cast<double>(bias.view()(o));
    for (std::int64_t j = 0; j < 4; ++j)
      sum += static_cast<double>(weight.view()(o, j)) * static_cast<double>(x.view()(i, j));
    return sum;
  };
  tensor<double, 2> want({9, 2});
  for (std::int64_t i = 0; i < 9; ++i)
    for (std::int64_t o = 0; o < 2; ++o) want.view()(i, o) = output(standard, i, o);
  how.fold_into(weight.view(), bias.view());
  for (std::int64_t i = 0; i < 9; ++i)
    for (std::int64_t o = 0; o < 2; ++o)
      CHECK(close(output(features, i, o), want.view()(i, o), {.absolute = 2e-3, .relative = 1e-5}));
}

TEST_CASE("standardiser: another number of features is refused") {
  data::standardiser how(4);
  tensor<float, 2> three({2, 3}), weight({2, 4});
  tensor<float, 1> bias({3});
  CHECK_THROWS_WITH_AS(how.add(three.view()), doctest::Contains("features is 3, expected 4"), shape_error);
  CHECK_THROWS_WITH_AS(how.apply(three.view()), doctest::Contains("features is 3, expected 4"), shape_error);
  CHECK_THROWS_WITH_AS(how.fold_into(three.view(), bias.view()), doctest::Contains("is 3, expected 4"), shape_error);
  CHECK_THROWS_WITH_AS(how.fold_into(weight.view(), bias.view()), doctest::Contains("is 3, expected 2"), shape_error);
}
