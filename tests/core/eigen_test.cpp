#include <doctest/doctest.h>

#include <Eigen/Core>

#include <milkit/core/eigen.hpp>

#include <support/close.hpp>

using namespace milkit;

TEST_CASE("Eigen matrices become views of the same memory, and back") {
  row_major_matrix<float> m(3, 4);
  m << 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12;
  const auto v = view_of(m);
  CHECK(v.data() == m.data());
  CHECK(v.shape() == shape<2>{3, 4});
  CHECK(v(1, 2) == 7);
  auto block = m.block(1, 1, 2, 2);
  const auto part = view_of(block);
  CHECK(part.stride() == 4);
  CHECK(test::elements(part) == std::vector<double>{6, 7, 10, 11});
  part(1, 1) = -1;
  CHECK(m(2, 2) == -1);
  CHECK(as_eigen(part).sum() == 6 + 7 + 10 - 1);
  as_eigen(v).setConstant(2);
  CHECK(m.sum() == 24);
  const auto& constant = m;
  static_assert(std::is_same_v<decltype(view_of(constant)), matrix_view<const float>>);
  CHECK(view_of(constant).data() == m.data());
}

TEST_CASE("Eigen vectors, maps and rows become vector views") {
  Eigen::VectorXd v = Eigen::VectorXd::LinSpaced(5, 0, 4);
  CHECK(test::elements(view_of(v)) == std::vector<double>{0, 1, 2, 3, 4});
  Eigen::RowVectorXf r = Eigen::RowVectorXf::Ones(3);
  CHECK(view_of(r).extent(0) == 3);
  double plain[6] = {1, 2, 3, 4, 5, 6};
  Eigen::Map<row_major_matrix<double>> map(plain, 2, 3);
  CHECK(view_of(map)(1, 0) == 4);
  auto row = map.row(1);
  CHECK(test::elements(view_of(row)) == std::vector<double>{4, 5, 6});
  CHECK(as_eigen(view_of(v)).dot(v) == 30);
  row_major_matrix<double> empty(0, 4);
  CHECK(view_of(empty).shape() == shape<2>{0, 4});
}

TEST_CASE("Eigen memory with gaps between elements is refused") {
  double plain[12] = {};
  Eigen::Map<Eigen::VectorXd, 0, Eigen::InnerStride<>> strided(plain, 4, Eigen::InnerStride<>(3));
  CHECK_THROWS_WITH_AS(view_of(strided), "milkit::view_of: the Eigen vector's stride is 3, expected 1", shape_error);
  row_major_matrix<double> m(3, 4);
  auto column = m.col(1);
  CHECK_THROWS_WITH_AS(view_of(column), "milkit::view_of: the Eigen vector's stride is 4, expected 1", shape_error);
  Eigen::Map<row_major_matrix<double>, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> gaps(
      plain, 2, 3, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(6, 2));
  CHECK_THROWS_WITH_AS(view_of(gaps), "milkit::view_of: the Eigen matrix's inner stride is 2, expected 1", shape_error);
}

TEST_CASE("a strided vector view is no Eigen vector") {
  double plain[12] = {};
  CHECK_THROWS_WITH_AS(as_eigen(vector_view<double>(plain, {4}, 3)),
                       "milkit::as_eigen: the vector view's stride is 3, expected 1", shape_error);
  CHECK_NOTHROW(as_eigen(vector_view<double>(plain, {1}, 3)));
}
