#include <doctest/doctest.h>

#include <milkit/ops/products/matmul_cpu.hpp>

#include <reference/matmul.hpp>
#include <support/floats.hpp>
#include <support/gradient_check.hpp>

using namespace milkit;

namespace {

struct sizes {
  std::int64_t m, n, k;
};

/// Compares one product with the oracle; a and b lie in wider tables, so that their rows are apart.
template <class T>
void check(cpu& backend, const sizes& s, const ops::matmul_options& how) {
  const shape<2> a_shape = how.transpose_a ? shape<2>{s.k, s.m} : shape<2>{s.m, s.k};
  const shape<2> b_shape = how.transpose_b ? shape<2>{s.n, s.k} : shape<2>{s.k, s.n};
  const auto a_table = test::normals<T>(shape<2>{a_shape[0], a_shape[1] + 3}, 1),
             b_table = test::normals<T>(shape<2>{b_shape[0], b_shape[1] + 1}, 2);
  auto c_table = test::normals<T>(shape<2>{s.m, s.n + 2}, 3);
  const auto a = a_table.view().columns(2, a_shape[1]), b = b_table.view().columns(1, b_shape[1]);
  const auto c = c_table.view().columns(1, s.n);
  const auto want =
      reference::matmul(test::elements(a), test::elements(b), test::elements(c), static_cast<std::size_t>(s.m),
                        static_cast<std::size_t>(s.n), static_cast<std::size_t>(s.k), how.transpose_a, how.transpose_b,
                        how.accumulate ? 1 : 0);
  const auto margin = test::elements(c_table.view().columns(0, 1));
  if (!how.accumulate)
    for (std::int64_t i = 0; i < s.m; ++i) std::fill_n(c.row(i), s.n, std::numeric_limits<T>::quiet_NaN());
  ops::matmul(backend, a, b, c, how);
  const std::string example =
      message(s.m, " ", s.n, " ", s.k, " ", how.transpose_a, " ", how.transpose_b, " ", how.accumulate);
  CAPTURE(example);
  CHECK(test::relative_error(c, want) <= (sizeof(T) == 8 ? 1e-13 : 2e-6));
  CHECK(test::elements(c_table.view().columns(0, 1)) == margin);
}

constexpr sizes all_sizes[] = {{0, 3, 4},     {3, 0, 4},      {3, 4, 0},    {1, 1, 1},    {2, 1, 31},
                               {1, 33, 2},    {31, 33, 2},    {33, 31, 33}, {257, 2, 31}, {31, 257, 33},
                               {2, 33, 1000}, {257, 33, 257}, {513, 5, 7}};

}  // namespace

TEST_CASE_TEMPLATE("matmul agrees with the oracle: odd sizes, transposes, accumulation, strides", T, MILKIT_FLOATS) {
  cpu backend{.threads = 2};
  for (const sizes& s : all_sizes)
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true})
        for (const bool accumulate : {false, true}) check<T>(backend, s, {transpose_a, transpose_b, accumulate});
}

TEST_CASE_TEMPLATE("matmul gives the same bits at any thread count, and for rows alone", T, MILKIT_FLOATS) {
  cpu one{.threads = 1}, three{.threads = 3};
  for (const std::int64_t n : {1, 2, 5, 13, 33, 64, 256, 257, 700})
    for (const std::int64_t k : {1, 31, 300, 1537}) {
      if (n > 64 && k == 300) continue;
      const auto a = test::normals<T>(shape<2>{601, k}, 1), b = test::normals<T>(shape<2>{n, k}, 2);
      tensor<T, 2> want(shape<2>{601, n}), got(shape<2>{601, n});
      ops::matmul(one, a.view(), b.view(), want.view(), {.transpose_b = true});
      ops::matmul(three, a.view(), b.view(), got.view(), {.transpose_b = true});
      CHECK(test::same_bits(got, want));
      for (const auto& [first, count] :
           {std::pair<std::int64_t, std::int64_t>{0, 1}, {2, 1}, {5, 3}, {7, 64}, {298, 303}}) {
        ops::matmul(one, a.view().rows(first, count), b.view(), got.view().rows(first, count), {.transpose_b = true});
        const std::string example = message(n, " ", k, " ", first, " ", count);
        CAPTURE(example);
        CHECK(test::same_bits(got, want));
      }
    }
}

TEST_CASE_TEMPLATE("matmul: few rows, many columns -> the same bits at any thread count", T, MILKIT_FLOATS) {
  for (const std::int64_t rows : {1, 64, 512, 513})
    for (const std::int64_t n : {239, 240, 241, 900})
      for (const bool ta : {false, true})
        for (const bool tb : {false, true}) {
          CAPTURE(message(rows, " ", n, " ", ta, " ", tb));
          const std::int64_t k = 70;
          const auto a = test::normals<T>(ta ? shape<2>{k, rows} : shape<2>{rows, k}, 1);
          const auto b = test::normals<T>(tb ? shape<2>{n, k} : shape<2>{k, n}, 2);
          const auto product = [&](cpu& backend) {
            auto c = test::normals<T>(shape<2>{rows, n}, 3);
            ops::matmul(backend, a.view(), b.view(), c.view(),
                        {.transpose_a = ta, .transpose_b = tb, .accumulate = true});
            return c;
          };
          cpu one{.threads = 1}, four{.threads = 4};
          const auto want = product(one);
          CHECK(test::same_bits(product(four), want));
          CHECK(test::relative_error(product(four.worker(0)), want) <= (sizeof(T) == 4 ? 1e-6 : 1e-14));
        }
}

TEST_CASE("matmul keeps NaN in its row and column") {
  cpu backend{.threads = 1};
  auto a = test::normals<float>(shape<2>{7, 5}, 1), b = test::normals<float>(shape<2>{5, 6}, 2);
  tensor<float, 2> c(shape<2>{7, 6});
  a.view()(3, 2) = std::nanf("");
  ops::matmul(backend, a.view(), b.view(), c.view());
  for (std::int64_t i = 0; i < 7; ++i)
    for (std::int64_t j = 0; j < 6; ++j) CHECK(std::isnan(c.view()(i, j)) == (i == 3));
}

TEST_CASE("matmul refuses extents that do not fit") {
  cpu backend{.threads = 1};
  tensor<float, 2> a(shape<2>{2, 3}), b(shape<2>{4, 5}), c(shape<2>{2, 5});
  CHECK_THROWS_WITH_AS(ops::matmul(backend, a.view(), b.view(), c.view()),
                       "milkit::ops::matmul: rows of op(b) is 4, expected 3", shape_error);
  CHECK_THROWS_WITH_AS(ops::matmul(backend, a.view(), c.view(), b.view(), {.transpose_a = true}),
                       "milkit::ops::matmul: rows of c is 4, expected 3", shape_error);
  CHECK_THROWS_WITH_AS(ops::matmul(backend, a.view(), b.view().rows(0, 3), c.view().columns(0, 4)),
                       "milkit::ops::matmul: columns of c is 4, expected 5", shape_error);
}

TEST_CASE_TEMPLATE("matmul: packing memory of each thread -> whole cache lines", T, float, double) {
  cpu backend{.threads = 1};
  for (const std::int64_t n : {1, 3, 33})
    for (const std::int64_t k : {1, 7, 257})
      CHECK(ops::detail::serial_gemm<T>(backend, false, true, 5, n, k).packing_size() *
                static_cast<std::int64_t>(sizeof(T)) % 64 ==
            0);
}

TEST_CASE("matmul takes its memory from the workspace, as planned") {
  cpu backend{.threads = 2}, planner = backend.planner();
  const auto a = test::normals<float>(shape<2>{513, 64}, 1), b = test::normals<float>(shape<2>{64, 33}, 2);
  tensor<float, 2> c(shape<2>{513, 33});
  ops::matmul(backend, a.view(), b.view(), c.view());
  ops::matmul(planner, a.view(), b.view(), c.view());
  CHECK(backend.workspace.peak_bytes() == planner.workspace.peak_bytes());
  CHECK(backend.workspace.bytes_in_use() == 0);
}
