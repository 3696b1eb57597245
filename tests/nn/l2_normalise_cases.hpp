#pragma once

#include <milkit/nn/l2_normalise.hpp>

#include <support/floats.hpp>
#include <support/golden.hpp>
#include <support/layer_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::l2_normalise_cases {

template <class T>
auto normalised(const tensor<T, 2>& x, const tensor<T, 2>& dy) {
  backend_type backend = make_backend();
  return run_layer<T>(backend, nn::l2_normalise{}, tensor<T, 1>(), x.view(), dy.view(), pass{});
}

TEST_CASE("l2_normalise keeps the contract of a layer") {
  layer_check(nn::l2_normalise{}, shape<2>{9, 7}).all();
  layer_check(nn::l2_normalise{}, shape<2>{4, 33}).all();
}

TEST_CASE_TEMPLATE("l2_normalise agrees with the formula at odd sizes, and its rows have length 1", T, MILKIT_FLOATS) {
  for (const std::int64_t d : {1, 2, 31, 33, 257, 1000}) {
    CAPTURE(d);
    const auto x = normals<T>(shape<2>{3, d}, 1, 3), dy = normals<T>(shape<2>{3, d}, 2);
    const auto got = normalised(x, dy);
    std::vector<double> want_y, want_dx;
    for (std::int64_t i = 0; i < 3; ++i) {
      const std::vector<double> row = elements(x.view().rows(i, 1)), up = elements(dy.view().rows(i, 1));
      double squares = 0, dot = 0;
      for (const double each : row) squares += each * each;
      const double norm = std::sqrt(squares);
      for (std::size_t j = 0; j < row.size(); ++j) dot += row[j] / norm * up[j];
      for (std::size_t j = 0; j < row.size(); ++j) {
        want_y.push_back(row[j] / norm);
        want_dx.push_back((up[j] - row[j] / norm * dot) / norm);
      }
    }
    CHECK(relative_error(got.output, want_y) <= tolerance_of<T>(1e-13, 1e-6));
    if (d > 1) CHECK(relative_error(got.dinput, want_dx) <= tolerance_of<T>(1e-12, 1e-5));
    else
      for (const double each : elements(got.dinput)) CHECK(std::abs(each) <= tolerance_of<T>(1e-13, 1e-5));
  }
}

TEST_CASE("l2_normalise of rows that are nearly nothing, NaN, and beyond the range of float's squares") {
  tensor<double, 2> x(shape<2>{3, 2}), dy(shape<2>{3, 2});
  const double values[] = {0, 0, 3e-13, -4e-13, std::nan(""), 1}, ups[] = {1, -2, 1, 2, 1, 1};
  std::copy_n(values, 6, x.data());
  std::copy_n(ups, 6, dy.data());
  const auto got = normalised(x, dy);
  CHECK(relative_error(got.output.view().rows(0, 2), std::vector<double>{0, 0, 0.3, -0.4}) <= 1e-14);
  CHECK(relative_error(got.dinput.view().rows(0, 2), std::vector<double>{1e12, -2e12, 1e12, 2e12}) <= 1e-14);
  for (const double each : elements(got.output.view().rows(2, 1))) CHECK(std::isnan(each));
  for (const double each : elements(got.dinput.view().rows(2, 1))) CHECK(std::isnan(each));
  tensor<float, 2> large(shape<2>{2, 2});
  const float wide[] = {3e25f, 4e25f, 3e-11f, 4e-11f};
  std::copy_n(wide, 4, large.data());
  CHECK(relative_error(normalised(large, large).output, std::vector<double>{0.6, 0.8, 0.6, 0.8}) <= 1e-6);
}

TEST_CASE_TEMPLATE("l2_normalise agrees with the golden tensors", T, MILKIT_FLOATS) {
  const golden_case golden("zoom_in_l2_normalize");
  const auto got = normalised(golden.get<T, 2>("input"), golden.get<T, 2>("grad_output"));
  CHECK(golden.error("output", got.output) <= golden_tolerance<T>);
  CHECK(golden.error("grad.input", got.dinput) <= golden_tolerance<T>);
}

}  // namespace milkit::test::l2_normalise_cases

MILKIT_UNOPTIMISED_END
