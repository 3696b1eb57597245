#include <doctest/doctest.h>

#include <bit>

#include <milkit/core/cpu.hpp>
#include <milkit/ops/rows/reduce_cpu.hpp>

#include <support/close.hpp>
#include <support/floats.hpp>
#include <support/normals.hpp>

using namespace milkit;

namespace {

template <class T>
double norm_of(cpu& backend, const tensor<T, 1>& x) {
  double norm = -1;
  ops::l2_norm(backend, x.view(), vector_view<double>(&norm, shape<1>{1}));
  return norm;
}

template <class T>
std::int64_t nonfinite_of(cpu& backend, const tensor<T, 1>& x) {
  std::int64_t count = -1;
  ops::count_nonfinite(backend, x.view(), vector_view<std::int64_t>(&count, shape<1>{1}));
  return count;
}

}  // namespace

TEST_CASE_TEMPLATE("l2_norm agrees with a plain loop at odd sizes", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const std::int64_t n : {0, 1, 2, 31, 33, 257, 1000, 16383, 16384, 16385, 65537}) {
    const tensor<T, 1> x = test::normals<T>(shape<1>{n}, 7);
    long double sum = 0;
    for (const double each : test::elements(x)) sum += static_cast<long double>(each) * each;
    CHECK(test::close(norm_of(backend, x), static_cast<double>(std::sqrt(sum)), {0, 1e-13}));
  }
}

TEST_CASE("l2_norm sums floats in double") {
  cpu backend{.threads = 1};
  tensor<float, 1> x(shape<1>{3});
  x.view()(0) = 3e30f, x.view()(1) = 4e30f;  // squares overflow float
  CHECK(test::close(norm_of(backend, x), 5e30, {0, 1e-6}));
  tensor<float, 1> many(shape<1>{40000});
  many.view()(0) = 1e4f;
  for (std::int64_t i = 1; i < 40000; ++i) many.view()(i) = 1;  // each is lost beside 1e8 in float
  CHECK(test::close(norm_of(backend, many), std::sqrt(1e8 + 39999), {0, 1e-14}));
}

TEST_CASE_TEMPLATE("reductions give the same bits at any thread count", T, MILKIT_FLOATS) {
  const tensor<T, 1> x = test::normals<T>(shape<1>{200003}, 7);
  cpu one{.threads = 1}, three{.threads = 3}, eight{.threads = 8};
  const auto want = std::bit_cast<std::uint64_t>(norm_of(one, x));
  CHECK(std::bit_cast<std::uint64_t>(norm_of(three, x)) == want);
  CHECK(std::bit_cast<std::uint64_t>(norm_of(eight, x)) == want);
  CHECK(one.workspace.bytes_in_use() == 0);
}

TEST_CASE_TEMPLATE("count_nonfinite counts NaN and both infinities, and no large or small number", T, MILKIT_FLOATS) {
  using limits = std::numeric_limits<T>;
  cpu backend{.threads = 2};
  CHECK(nonfinite_of(backend, tensor<T, 1>()) == 0);
  tensor<T, 1> x = test::normals<T>(shape<1>{50001}, 7);
  x.view()(0) = limits::max(), x.view()(1) = limits::lowest(), x.view()(2) = limits::denorm_min(), x.view()(3) = -T(0);
  CHECK(nonfinite_of(backend, x) == 0);
  x.view()(7) = limits::quiet_NaN(), x.view()(20000) = limits::infinity(), x.view()(50000) = -limits::infinity();
  CHECK(nonfinite_of(backend, x) == 3);
  CHECK_FALSE(std::isfinite(norm_of(backend, x)));
}

TEST_CASE("reductions refuse strided input and outputs of another size") {
  cpu backend{.threads = 1};
  tensor<float, 2> table(shape<2>{3, 2});
  const vector_view<float> column(table.data(), shape<1>{3}, 2);
  double norms[2] = {};
  CHECK_THROWS_WITH_AS(ops::l2_norm(backend, column, vector_view<double>(norms, shape<1>{1})),
                       "milkit::ops::l2_norm: x has stride 2, expected 1", shape_error);
  CHECK_THROWS_AS(
      ops::l2_norm(backend, test::normals<float>(shape<1>{3}, 7).view(), vector_view<double>(norms, shape<1>{2})),
      shape_error);
}
