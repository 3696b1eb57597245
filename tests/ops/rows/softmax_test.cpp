#include <doctest/doctest.h>

#include <milkit/ops/rows/softmax_cpu.hpp>

#include <reference/softmax.hpp>
#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/gradient_check.hpp>

using namespace milkit;
using test::golden_tolerance, test::relative_error;

namespace {

template <class T>
struct rows_result {
  tensor<T, 2> y, dx;
  tensor<T, 1> lse;
};

template <class T>
rows_result<T> rows(cpu& backend, const tensor<T, 2>& x, const tensor<T, 2>& dy, const tensor<T, 1>& dlse) {
  rows_result<T> r{tensor<T, 2>(x.shape()), tensor<T, 2>(x.shape()), tensor<T, 1>(shape<1>{x.rows()})};
  ops::softmax(backend, x.view(), r.y.view(), r.lse.view());
  ops::softmax_backward(backend, r.y.view(), dy.view(), dlse.view(), r.dx.view());
  return r;
}

template <class T>
struct segment_result {
  tensor<T, 1> y, lse, dx;
};

template <class T>
segment_result<T> segments(cpu& backend, const std::vector<std::int64_t>& offsets, vector_view<const T> x,
                           vector_view<const T> dy, vector_view<const T> dlse) {
  const auto bags = static_cast<std::int64_t>(offsets.size()) - 1;
  const vector_view<const std::int64_t> at(offsets.data(), {bags + 1});
  segment_result<T> r{tensor<T, 1>(x.shape()), tensor<T, 1>(shape<1>{bags}), tensor<T, 1>(x.shape())};
  ops::segment_softmax(backend, at, x, r.y.view(), r.lse.view());
  ops::segment_softmax_backward(backend, at, vector_view<const T>(r.y.view()), dy, dlse, r.dx.view());
  return r;
}

std::vector<double> row_of(const std::vector<double>& all, std::int64_t first, std::int64_t count) {
  return {all.begin() + first, all.begin() + first + count};
}

template <class T>
std::vector<double> softmax_of(std::vector<T> x, T* lse = nullptr) {
  cpu backend{.threads = 1};
  std::vector<T> y(x.size(), T(-5));
  T own = 0;
  const shape<2> one{1, static_cast<std::int64_t>(x.size())};
  ops::softmax(backend, matrix_view<const T>(x.data(), one), matrix_view<T>(y.data(), one),
               vector_view<T>(lse ? lse : &own, {1}));
  return test::elements(y);
}

}  // namespace

TEST_CASE_TEMPLATE("softmax of rows agrees with the oracle at odd sizes", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const shape<2> s : {shape<2>{0, 3}, {1, 1}, {2, 31}, {33, 2}, {3, 257}, {257, 1}, {2, 1000}, {1, 65537}}) {
    const auto x = test::normals<T>(s, 1, 4), dy = test::normals<T>(s, 2);
    const auto dlse = test::normals<T>(shape<1>{s[0]}, 3);
    const auto got = rows(backend, x, dy, dlse);
    for (std::int64_t i = 0; i < s[0]; ++i) {
      const auto want = reference::softmax(test::elements(x.view().rows(i, 1)));
      CHECK(relative_error(got.y.view().rows(i, 1), want.y) <= test::tolerance_of<T>(1e-13, 2e-6));
      CHECK(test::close(static_cast<double>(got.lse.view()(i)), want.log_sum_exp,
                        {1e-6, test::tolerance_of<T>(1e-13, 1e-6)}));
      if (s[1] > 1000) continue;  // the oracle's Jacobian is n^2
      const auto dx = reference::softmax_gradient(want.y, test::elements(dy.view().rows(i, 1)),
                                                  static_cast<double>(dlse.view()(i)));
      CHECK(relative_error(got.dx.view().rows(i, 1), dx) <= test::tolerance_of<T>(1e-12, 1e-5));
    }
  }
}

TEST_CASE_TEMPLATE("softmax of segments is softmax of each, for any split and stride", T, MILKIT_FLOATS) {
  cpu backend{.threads = 3};
  const std::vector<std::int64_t> offsets{0, 0, 1, 3, 34, 34, 67, 324, 324};
  const auto table = test::normals<T>(shape<2>{324, 3}, 5, 3);
  const auto dy = test::normals<T>(shape<1>{324}, 6), dlse = test::normals<T>(shape<1>{8}, 7);
  const vector_view<const T> column(table.data() + 1, {324}, 3);
  const auto got = segments<T>(backend, offsets, column, dy.view(), dlse.view());
  const auto x = test::elements(column), upstream = test::elements(dy);
  for (std::size_t b = 0; b + 1 < offsets.size(); ++b) {
    const std::int64_t first = offsets[b], count = offsets[b + 1] - first;
    const auto want = reference::softmax(row_of(x, first, count));
    CHECK(relative_error(got.y.view().rows(first, count), want.y) <= test::tolerance_of<T>(1e-13, 2e-6));
    CHECK(test::close(static_cast<double>(got.lse.data()[b]), want.log_sum_exp,
                      {1e-6, test::tolerance_of<T>(1e-13, 1e-6)}));
    const auto dx =
        reference::softmax_gradient(want.y, row_of(upstream, first, count), static_cast<double>(dlse.data()[b]));
    CHECK(relative_error(got.dx.view().rows(first, count), dx) <= test::tolerance_of<T>(1e-12, 1e-5));
  }
  CHECK(got.lse.data()[0] == -std::numeric_limits<T>::infinity());
  cpu one{.threads = 1};
  const auto again = segments<T>(one, offsets, column, dy.view(), dlse.view());
  CHECK(test::same_bits(again.y, got.y));
  CHECK(test::same_bits(again.dx, got.dx));
}

TEST_CASE("softmax gradients agree with central differences") {
  cpu backend{.threads = 1};
  auto x = test::normals<double>(shape<2>{4, 5}, 1, 2);
  const auto dy = test::normals<double>(shape<2>{4, 5}, 2);
  const auto dlse = test::normals<double>(shape<1>{4}, 3);
  const auto loss = [&] {
    const auto r = rows(backend, x, dy, dlse);
    return test::inner(r.y, dy) + test::inner(r.lse, dlse);
  };
  CHECK(relative_error(rows(backend, x, dy, dlse).dx, test::central_differences(x.view(), loss)) <= 1e-8);
}

TEST_CASE("softmax leaves out what is absent and works in place") {
  cpu backend{.threads = 1};
  auto x = test::normals<float>(shape<2>{3, 7}, 1);
  const auto dy = test::normals<float>(shape<2>{3, 7}, 2);
  const auto want = rows(backend, x, dy, tensor<float, 1>(shape<1>{3}));
  tensor<float, 1> lse(shape<1>{3});
  ops::softmax(backend, x.view(), matrix_view<float>(), lse.view());
  CHECK(test::same_bits(lse, want.lse));
  ops::softmax(backend, x.view(), x.view(), vector_view<float>());
  CHECK(test::same_bits(x, want.y));
  tensor<float, 2> dx = dy.clone();
  ops::softmax_backward(backend, x.view(), dx.view(), vector_view<float>(), dx.view());
  CHECK(test::same_bits(dx, want.dx));
  ops::softmax_backward(backend, x.view(), matrix_view<float>(), lse.view(), dx.view());
  for (std::int64_t i = 0; i < 3; ++i)
    for (std::int64_t j = 0; j < 7; ++j) CHECK(dx.view()(i, j) == doctest::Approx(lse.view()(i) * x.view()(i, j)));
}

TEST_CASE_TEMPLATE("softmax of rows without mass, of infinities and of NaN", T, MILKIT_FLOATS) {
  constexpr T minus = -std::numeric_limits<T>::infinity();
  for (const std::size_t n : {2u, 9u, 300u}) {  // scalar and vector code, one block and two
    T lse = 0;
    CHECK(softmax_of(std::vector<T>(n, minus), &lse) == std::vector<double>(n, 0.0));
    CHECK(lse == minus);
    std::vector<T> x(n, minus);
    x[1] = 3;
    std::vector<double> want(n, 0.0);
    want[1] = 1;
    CHECK(softmax_of(x, &lse) == want);
    CHECK(lse == 3);
    x[0] = std::numeric_limits<T>::quiet_NaN();
    for (const double each : softmax_of(x, &lse)) CHECK(std::isnan(each));
    CHECK(std::isnan(lse));
    x[0] = -minus;
    for (const double each : softmax_of(x, &lse)) CHECK(std::isnan(each));
    CHECK(lse == -minus);
    const T large = std::numeric_limits<T>::max() / 4;
    std::fill(x.begin(), x.end(), -large);
    x[0] = large;
    want.assign(n, 0.0);
    want[0] = 1;
    CHECK(softmax_of(x, &lse) == want);
    CHECK(lse == large);
  }
  cpu backend{.threads = 1};
  const tensor<T, 2> zeros(shape<2>{1, 2});
  tensor<T, 2> dx(shape<2>{1, 2});
  const auto dy = test::normals<T>(shape<2>{1, 2}, 1);
  ops::softmax_backward(backend, zeros.view(), dy.view(), vector_view<const T>(), dx.view());
  CHECK(test::elements(dx) == std::vector<double>{0, 0});
}

TEST_CASE("softmax feels no shift and sums to 1") {
  cpu backend{.threads = 1};
  auto x = test::normals<double>(shape<2>{5, 33}, 1, 10);
  const auto before = rows(backend, x, x, tensor<double, 1>(shape<1>{5}));
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] += 1000;
  const auto after = rows(backend, x, x, tensor<double, 1>(shape<1>{5}));
  CHECK(relative_error(after.y, before.y) <= 1e-12);
  for (std::int64_t i = 0; i < 5; ++i) {
    double sum = 0, largest = 0;
    for (const double each : test::elements(before.y.view().rows(i, 1)))
      sum += each, largest = (std::max)(largest, each);
    CHECK(test::close(sum, 1, {1e-14}));
    CHECK(largest > 0.3);  // not degenerate
  }
}

TEST_CASE("softmax refuses what does not fit") {
  cpu backend{.threads = 1};
  tensor<float, 2> x(shape<2>{2, 3});
  tensor<float, 1> v(shape<1>{3});
  CHECK_THROWS_WITH_AS(ops::softmax(backend, x.view(), x.view(), v.view()),
                       "milkit::ops::softmax: extent of log_sum_exp is 3, expected 2", shape_error);
  CHECK_THROWS_AS(ops::softmax(backend, x.view(), x.view().columns(0, 2), vector_view<float>()), shape_error);
  const auto refuse = [&](std::vector<std::int64_t> offsets, const char* text) {
    const vector_view<const std::int64_t> at(offsets.data(), {static_cast<std::int64_t>(offsets.size())});
    CHECK_THROWS_WITH(ops::segment_softmax(backend, at, v.view(), v.view(), vector_view<float>()), text);
  };
  refuse({}, "milkit::ops::segment_softmax: extent of offsets is 0, expected 1 + the number of segments");
  refuse({1, 3}, "milkit::ops::segment_softmax: offsets[0] is 1, expected 0");
  refuse({0, 2, 1, 3}, "milkit::ops::segment_softmax: offsets[2] is 1, expected at least 2, the one before");
  refuse({0, 4}, "milkit::ops::segment_softmax: offsets[1] is 4, expected 3, the number of rows");
}

TEST_CASE_TEMPLATE("softmax agrees with the golden tensors", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const std::string name : {"core_softmax", "core_softmax_one", "core_softmax_large", "core_softmax_ragged"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const double allowed = name == "core_softmax_large" ? test::tolerance_of<T>(1e-9, 1e-4) : golden_tolerance<T>;
    const auto x = golden.get<T, 1>("x"), dy = golden.get<T, 1>("grad_output");
    std::vector<std::int64_t> offsets{0, x.rows()};
    if (golden.has("offsets")) offsets = golden.file().read<std::int64_t>("offsets").values;
    const auto got = segments<T>(backend, offsets, x.view(), dy.view(), vector_view<const T>());
    CHECK(golden.error("output", got.y) <= allowed);
    CHECK(golden.error("log_sum_exp", got.lse) <= allowed);
    CHECK(golden.error("grad.x", got.dx) <= allowed);
  }
  const test::golden_case golden("core_softmax_rows");
  const auto got =
      rows(backend, golden.get<T, 2>("x"), golden.get<T, 2>("grad_output"), golden.get<T, 1>("grad_log_sum_exp"));
  CHECK(golden.error("output", got.y) <= golden_tolerance<T>);
  CHECK(golden.error("log_sum_exp", got.lse) <= golden_tolerance<T>);
  CHECK(golden.error("grad.x", got.dx) <= golden_tolerance<T>);
}
