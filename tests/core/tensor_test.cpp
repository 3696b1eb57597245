#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>
#include <utility>

#include <milkit/core/tensor.hpp>

#include <support/close.hpp>

using namespace milkit;

TEST_CASE("tensors start as zeros, aligned, at any size") {
  for (const std::int64_t n : {1, 2, 31, 33, 257, 1000}) {
    const tensor<float, 2> t(shape<2>{n, 3});
    CHECK(reinterpret_cast<std::uintptr_t>(t.data()) % alignment == 0);
    CHECK(t.size() == 3 * n);
    for (const double each : test::elements(t)) CHECK(each == 0);
  }
}

TEST_CASE("tensor: an extent of 0 -> no memory, no elements") {
  const tensor<double, 2> none, rows(shape<2>{0, 5});
  CHECK(none.size() == 0);
  CHECK(none.data() == nullptr);
  CHECK(rows.shape() == shape<2>{0, 5});
  CHECK(rows.clone().shape() == shape<2>{0, 5});
}

TEST_CASE("tensors move, and copy only when told to") {
  static_assert(!std::is_copy_constructible_v<tensor<float, 1>> &&
                std::is_nothrow_move_constructible_v<tensor<float, 1>>);
  tensor<float, 1> t(shape<1>{3});
  t.view()(1) = 5;
  auto copy = t.clone();
  copy.view()(1) = 6;
  CHECK(t.view()(1) == 5);
  const float* data = t.data();
  const tensor<float, 1> moved = std::move(t);
  CHECK(moved.data() == data);
  CHECK(moved.view()(1) == 5);
}

TEST_CASE("tensors refuse negative extents") {
  CHECK_THROWS_WITH_AS((tensor<float, 2>(shape<2>{3, -1})), "milkit::tensor: extent 1 is -1, expected 0 or more",
                       shape_error);
}
