#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <milkit/ops/images/pool2d_cpu.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/images.hpp>

using namespace milkit;
using test::relative_error;

namespace {

struct pool_case {
  shape<4> size;
  ops::pool2d_options options = {};
};
const pool_case cases[] = {
    {{3, 2, 24, 24}},
    {{2, 3, 7, 9}},
    {{1, 1, 2, 2}},
    {{2, 2, 9, 67}},
    {{0, 2, 4, 4}},
    {{2, 2, 8, 11}, {.kernel = 3, .stride = 2, .padding = 1}},
    {{2, 1, 9, 8}, {.kernel = 3, .stride = 2}},
    {{2, 1, 5, 5}, {.kernel = 1, .stride = 1}},
    {{2, 1, 5, 6}, {.kernel = 2, .stride = 1, .padding = 1}},
    {{2, 1, 7, 7}, {.kernel = 2, .stride = 4}},
    {{1, 2, 33, 40}, {.kernel = 33, .stride = 3}},
};

template <class T>
tensor<T, 4> with_ties(shape<4> s) {
  auto x = test::normals<T>(s, 1);
  for (std::int64_t i = 0; i < x.size(); ++i) x.data()[i] = std::round(x.data()[i]);
  return x;
}

template <class T>
struct pooled {
  tensor<T, 4> y, dx;
  tensor<ops::window_position, 4> position;
};
template <class T>
pooled<T> max_pooled(cpu& backend, const tensor<T, 4>& x, const tensor<T, 4>& dy, const ops::pool2d_options& options) {
  pooled<T> r{tensor<T, 4>(ops::pool2d_shape(x.shape(), options)), tensor<T, 4>(x.shape()),
              tensor<ops::window_position, 4>(ops::pool2d_shape(x.shape(), options))};
  std::fill_n(r.dx.data(), r.dx.size(), T(9));
  ops::max_pool2d(backend, x.view(), r.y.view(), r.position.view(), options);
  ops::max_pool2d_backward(backend, r.position.view(), dy.view(), r.dx.view(), options);
  return r;
}

}  // namespace

TEST_CASE_TEMPLATE("max_pool2d agrees with plain loops, ties to the first, at any thread count", T, MILKIT_FLOATS) {
  for (const pool_case& pool : cases)
    for (const bool ties : {false, true})
      for (const int threads : {1, 3}) {
        CAPTURE(to_string(pool.size));
        cpu backend{.threads = threads};
        const auto x = ties ? with_ties<T>(pool.size) : test::normals<T>(pool.size, 1);
        const auto dy = test::normals<T>(ops::pool2d_shape(pool.size, pool.options), 2);
        const auto got = max_pooled(backend, x, dy, pool.options);
        const auto want =
            reference::max_pool2d(test::plain(x), test::plain(dy), static_cast<int>(pool.options.kernel),
                                  static_cast<int>(pool.options.stride), static_cast<int>(pool.options.padding));
        CHECK(test::elements(got.y) == want.y.values);
        tensor<T, 4> alone(got.y.shape());
        ops::max_pool2d(backend, x.view(), alone.view(), view<ops::window_position, 4>(), pool.options);
        CHECK(test::elements(alone) == want.y.values);
        CHECK(relative_error(got.dx, want.dx.values) <= (sizeof(T) == 8 ? 1e-15 : 1e-6));
      }
}

TEST_CASE_TEMPLATE("avg_pool2d agrees with plain loops at any thread count", T, MILKIT_FLOATS) {
  for (const pool_case& pool : cases)
    for (const int threads : {1, 3}) {
      CAPTURE(to_string(pool.size));
      cpu backend{.threads = threads};
      const auto x = test::normals<T>(pool.size, 1);
      const auto dy = test::normals<T>(ops::pool2d_shape(pool.size, pool.options), 2);
      tensor<T, 4> y(dy.shape()), dx(pool.size);
      std::fill_n(dx.data(), dx.size(), T(9));
      ops::avg_pool2d(backend, x.view(), y.view(), pool.options);
      ops::avg_pool2d_backward(backend, dy.view(), dx.view(), pool.options);
      const auto want =
          reference::avg_pool2d(test::plain(x), test::plain(dy), static_cast<int>(pool.options.kernel),
                                static_cast<int>(pool.options.stride), static_cast<int>(pool.options.padding));
      const double tolerance = sizeof(T) == 8 ? 1e-14 : 1e-6;
      CHECK(relative_error(y, want.y.values) <= tolerance);
      CHECK(relative_error(dx, want.dx.values) <= tolerance);
    }
}

TEST_CASE_TEMPLATE("pooling agrees with the golden cases", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const char* name : {"core_max_pool2d", "core_max_pool2d_overlap", "core_max_pool2d_ties", "core_avg_pool2d"}) {
    CAPTURE(name);
    const test::golden_case golden(name);
    const auto x = golden.get<T, 4>("x"), dy = golden.get<T, 4>("grad_output");
    const ops::pool2d_options options{.kernel = golden.option<std::int64_t>("kernel"),
                                      .stride = golden.option<std::int64_t>("stride"),
                                      .padding = golden.option<std::int64_t>("padding")};
    tensor<T, 4> y(dy.shape()), dx(x.shape());
    if (golden.has("indices")) {
      const auto indices = golden.get<std::int64_t, 4>("indices");
      const auto got = max_pooled(backend, x, dy, options);
      std::vector<double> planes;
      for (std::int64_t p = 0; p < got.position.size(); ++p) {
        const std::int64_t i = p / y.extent(3) % y.extent(2), j = p % y.extent(3), at = got.position.data()[p];
        planes.push_back(
            static_cast<double>((i * options.stride - options.padding + at / options.kernel) * x.extent(3) +
                                j * options.stride - options.padding + at % options.kernel));
      }
      CHECK(planes == test::elements(indices));
      CHECK(golden.error("output", got.y) <= test::golden_tolerance<T>);
      CHECK(golden.error("grad.x", got.dx) <= test::golden_tolerance<T>);
    } else {
      ops::avg_pool2d(backend, x.view(), y.view(), options);
      ops::avg_pool2d_backward(backend, dy.view(), dx.view(), options);
      CHECK(golden.error("output", y) <= test::golden_tolerance<T>);
      CHECK(golden.error("grad.x", dx) <= test::golden_tolerance<T>);
    }
  }
  const test::golden_case golden("core_global_average_pool");
  const auto x = golden.get<T, 4>("x");
  const auto dy = golden.get<T, 2>("grad_output");
  tensor<T, 2> y(dy.shape());
  tensor<T, 4> dx(x.shape());
  ops::global_average_pool(backend, x.view(), y.view());
  ops::global_average_pool_backward(backend, dy.view(), dx.view());
  CHECK(golden.error("output", y) <= test::golden_tolerance<T>);
  CHECK(golden.error("grad.x", dx) <= test::golden_tolerance<T>);
}

TEST_CASE_TEMPLATE("max_pool2d: NaN, infinities -> NaN wins; a plane of -infinity takes its first", T, MILKIT_FLOATS) {
  cpu backend{.threads = 1};
  const T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
  for (const ops::pool2d_options options :
       {ops::pool2d_options{}, ops::pool2d_options{.kernel = 3, .stride = 2, .padding = 1}})
    for (std::int64_t at = 0; at < 16; ++at) {
      auto x = test::normals<T>(shape<4>{1, 1, 4, 4}, 1);
      x.data()[at] = nan;
      const auto dy = test::normals<T>(ops::pool2d_shape(x.shape(), options), 2);
      const auto got = max_pooled(backend, x, dy, options);
      for (std::int64_t i = 0; i < 2; ++i)
        for (std::int64_t j = 0; j < 2; ++j) {
          const std::int64_t top = i * options.stride - options.padding, left = j * options.stride - options.padding;
          const bool sees =
              at / 4 >= top && at / 4 < top + options.kernel && at % 4 >= left && at % 4 < left + options.kernel;
          CHECK(std::isnan(got.y.view()(0, 0, i, j)) == sees);
        }
    }
  tensor<T, 4> low(shape<4>{1, 1, 2, 2}), dy(shape<4>{1, 1, 1, 1});
  std::fill_n(low.data(), 4, -infinity);
  CHECK(max_pooled(backend, low, dy, {}).position.data()[0] == 0);
  low.data()[3] = infinity;
  CHECK(max_pooled(backend, low, dy, {}).y.data()[0] == infinity);
}

TEST_CASE("pooling gradients agree with central differences, and images may lie apart") {
  cpu backend{.threads = 2};
  const ops::pool2d_options options{.kernel = 3, .stride = 2, .padding = 1};
  const shape<4> s{2, 2, 7, 6};
  tensor<double, 2> rows(shape<2>{2, s.row_size() + 5});
  const view<double, 4> x(rows.data(), s, rows.view().stride());
  const auto values = test::normals<double>(s, 1);
  for (std::int64_t i = 0; i < 2; ++i) std::copy_n(values.view().row(i), s.row_size(), x.row(i));
  const auto dy = test::normals<double>(ops::pool2d_shape(s, options), 2);
  tensor<double, 4> y(dy.shape()), dmax(s), davg(s);
  tensor<ops::window_position, 4> position(dy.shape());
  const auto loss = [&](bool maximum) {
    if (maximum) ops::max_pool2d(backend, x, y.view(), position.view(), options);
    else ops::avg_pool2d(backend, x, y.view(), options);
    double total = 0;
    for (std::int64_t i = 0; i < y.size(); ++i) total += y.data()[i] * dy.data()[i];
    return total;
  };
  loss(true);
  ops::max_pool2d_backward(backend, position.view(), dy.view(), dmax.view(), options);
  ops::avg_pool2d_backward(backend, dy.view(), davg.view(), options);
  for (const bool maximum : {true, false}) {
    std::vector<double> differences;
    for (std::int64_t i = 0; i < 2; ++i)
      for (std::int64_t j = 0; j < s.row_size(); ++j) {
        const double before = x.row(i)[j], h = 1e-6;
        x.row(i)[j] = before + h;
        const double above = loss(maximum);
        x.row(i)[j] = before - h;
        differences.push_back((above - loss(maximum)) / (2 * h));
        x.row(i)[j] = before;
      }
    CHECK(relative_error(maximum ? dmax : davg, differences) <= 1e-7);
  }
}

TEST_CASE("pooling refuses what does not fit") {
  cpu backend{.threads = 1};
  const tensor<float, 4> x(shape<4>{1, 2, 4, 3}), empty(shape<4>{1, 2, 0, 3});
  tensor<float, 4> y(shape<4>{1, 2, 2, 1});
  tensor<float, 2> means(shape<2>{1, 2});
  CHECK_THROWS_AS(ops::avg_pool2d(backend, x.view(), y.view(), {.kernel = 4}), shape_error);
  CHECK_THROWS_AS(ops::avg_pool2d(backend, x.view(), y.view(), {.kernel = 2, .stride = 1}), shape_error);
  CHECK_THROWS_AS(ops::avg_pool2d(backend, x.view(), y.view(), {.kernel = 2, .padding = 2}), value_error);
  CHECK_THROWS_AS(ops::avg_pool2d(backend, x.view(), y.view(), {.kernel = 0}), value_error);
  CHECK_THROWS_AS(ops::avg_pool2d(backend, x.view(), y.view(), {.stride = 0}), value_error);
  CHECK_THROWS_AS(ops::global_average_pool(backend, empty.view(), means.view()), shape_error);
}
