#include <doctest/doctest.h>

#include <xtensor/xview.hpp>

#include <milkit/core/tensor.hpp>
#include <milkit/core/xtensor.hpp>

using milkit::as_xtensor;
using milkit::shape;
using milkit::view_of;

TEST_CASE("an xtensor array and its view are the same memory") {
  xt::xtensor<float, 2> fixed = xt::zeros<float>({3, 4});
  xt::xarray<float> dynamic = xt::zeros<float>({3, 4});
  const auto a = view_of<2>(fixed);
  const auto b = view_of<2>(dynamic);
  CHECK(a.data() == fixed.data());
  CHECK(a.shape() == shape<2>{3, 4});
  a(2, 1) = 5;
  b(1, 3) = 6;
  CHECK(fixed(2, 1) == 5);
  CHECK(dynamic(1, 3) == 6);
  const auto& constant = fixed;
  CHECK(view_of<2>(constant)(2, 1) == 5);
}

TEST_CASE("extents of one and of zero are no trouble") {
  xt::xtensor<double, 2> row = xt::ones<double>({1, 5}), column = xt::ones<double>({5, 1}),
                         none = xt::ones<double>({0, 5});
  xt::xtensor<double, 1> line = xt::arange<double>(5);
  xt::xtensor<double, 4> images = xt::ones<double>({2, 1, 3, 1});
  CHECK(view_of<2>(row)(0, 4) == 1);
  CHECK(view_of<2>(column)(4, 0) == 1);
  CHECK(view_of<2>(none).size() == 0);
  CHECK(view_of<1>(line)(3) == 3);
  CHECK(view_of<4>(images).shape() == shape<4>{2, 1, 3, 1});
  CHECK(view_of<4>(images).contiguous());
}

TEST_CASE("rows that lie apart keep their stride; steps within a row are refused") {
  xt::xtensor<float, 2> wide = xt::arange<float>(24).reshape({4, 6});
  auto left = xt::view(wide, xt::range(1, 3), xt::range(2, 5));
  const auto part = view_of<2>(left);
  CHECK(part.shape() == shape<2>{2, 3});
  CHECK(part.stride() == 6);
  CHECK(part(1, 2) == 16);
  auto steps = xt::view(wide, xt::all(), xt::range(0, 6, 2));
  CHECK_THROWS_AS(view_of<2>(steps), milkit::shape_error);
}

TEST_CASE("a column-major array and another rank are refused with both numbers") {
  xt::xtensor<float, 2, xt::layout_type::column_major> columns({3, 4});
  CHECK_THROWS_WITH_AS(view_of<2>(columns),
                       "milkit::view_of: stride 1 of the xtensor array is 3, expected 1 (row-major, contiguous rows)",
                       milkit::shape_error);
  xt::xarray<float> cube = xt::zeros<float>({2, 3, 4});
  CHECK_THROWS_WITH_AS(view_of<2>(cube), "milkit::view_of: the xtensor array's rank is 3, expected 2",
                       milkit::shape_error);
}

TEST_CASE("a view is an xtensor adaptor of the same memory, also with strided rows") {
  milkit::tensor<float, 2> values({3, 4});
  for (int i = 0; i < 12; ++i) values.data()[i] = static_cast<float>(i);
  auto whole = as_xtensor(values.view());
  CHECK(whole(2, 3) == 11);
  whole(0, 0) = 42;
  CHECK(values.data()[0] == 42);
  const auto part = as_xtensor(milkit::matrix_view<const float>(values.data() + 1, {3, 2}, 4));
  CHECK(part(2, 1) == 10);
  const xt::xtensor<float, 2> copy = part;
  CHECK(copy(1, 0) == 5);
  CHECK(as_xtensor(milkit::matrix_view<float>(values.data(), {0, 4})).size() == 0);
}
