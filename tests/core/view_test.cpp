#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include <milkit/core/view.hpp>

#include <support/close.hpp>

using namespace milkit;

namespace {
std::vector<double> counted(std::size_t n) {
  std::vector<double> values(n);
  std::iota(values.begin(), values.end(), 0);
  return values;
}
}  // namespace

TEST_CASE("shapes count elements, compare and print") {
  constexpr shape<4> images{2, 3, 5, 7};
  static_assert(images.size() == 210 && images.row_size() == 105 && images.with_rows(0) == shape<4>{0, 3, 5, 7});
  static_assert(shape<1>{4}.row_size() == 1);
  CHECK(to_string(images) == "[2, 3, 5, 7]");
  CHECK(to_string(shape{6}) == "[6]");
}

TEST_CASE("views reach elements by rows that may lie apart") {
  auto values = counted(24);
  const matrix_view<double> m(values.data(), {4, 6});
  CHECK(m(1, 2) == 8);
  CHECK(m.contiguous());
  const auto part = m.rows(1, 2).columns(2, 3);
  CHECK(part.shape() == shape<2>{2, 3});
  CHECK(part.stride() == 6);
  CHECK_FALSE(part.contiguous());
  CHECK(test::elements(part) == std::vector<double>{8, 9, 10, 14, 15, 16});
  part(1, 0) = -1;
  CHECK(values[14] == -1);
  CHECK(m.columns(1, 1).rows(3, 1).contiguous());  // one row is
  const image_view<double> images(values.data(), {2, 3, 2, 2});
  CHECK(images(1, 2, 0, 1) == 21);
  CHECK(images.as_matrix().shape() == shape<2>{2, 12});
  CHECK(test::elements(images.as_matrix()) == test::elements(images));
  const vector_view<double> column(values.data() + 1, {4}, 6);
  CHECK(column(2) == 13);
  CHECK(m.row(3) == values.data() + 18);
}

TEST_CASE("views of mutable elements are views of constant ones") {
  auto values = counted(6);
  const matrix_view<double> m(values.data(), {2, 3});
  const matrix_view<const double> c = m;
  CHECK(c.data() == m.data());
  static_assert(!std::is_convertible_v<matrix_view<const double>, matrix_view<double>>);
  static_assert(!std::is_convertible_v<matrix_view<double>, matrix_view<const float>>);
  static_assert(!std::is_convertible_v<matrix_view<double, device_space>, matrix_view<const double>>);
  static_assert(is_view<matrix_view<float>> && !is_view<std::vector<float>>);
}

TEST_CASE("a default view is absent; a view of zero rows is not") {
  CHECK(matrix_view<float>().absent());
  CHECK(vector_view<float>().absent());
  float none = 0;
  CHECK_FALSE(matrix_view<float>(&none, {0, 3}).absent());
  CHECK_FALSE(matrix_view<float>(nullptr, {0, 3}).absent());
  CHECK(matrix_view<float>(nullptr, {0, 3}).size() == 0);
}

TEST_CASE("as_rows_of: another shape -> allowed where it holds as many elements") {
  auto values = counted(24);
  const matrix_view<double> m(values.data(), {2, 8}, 12);
  const auto images = m.as_rows_of(shape<4>{99, 2, 2, 2});
  CHECK(images.shape() == shape<4>{2, 2, 2, 2});
  CHECK(images(1, 1, 0, 1) == 17);
  CHECK_THROWS_WITH_AS(m.as_rows_of(shape<4>{2, 3, 2, 2}),
                       "milkit::view: a row of [2, 8] holds 8 elements, the asked shape [2, 3, 2, 2] wants 12",
                       shape_error);
}

TEST_CASE("expect_shape names the op, what it looked at, and both shapes") {
  const matrix_view<float> m(nullptr, {2, 3});
  CHECK_NOTHROW(expect_shape("op", "x", m, shape<2>{2, 3}));
  CHECK_THROWS_WITH_AS(expect_shape("op", "x", m, shape<2>{3, 2}), "op: x is [2, 3], expected [3, 2]", shape_error);
}
