#include <milkit/data/feature_pyramid.hpp>

#include <doctest/doctest.h>

using namespace milkit;
using milkit::data::children_of;

TEST_CASE("children_of: the rows of each parent, ascending, in any order of the parents") {
  const auto index = children_of({2, 0, 2, 3, 2}, 5);
  CHECK(index.width == 3);
  CHECK(index.offsets == std::vector<std::int64_t>{0, 1, 1, 4, 5, 5});
  CHECK(index.rows == std::vector<std::int64_t>{1, 0, 2, 4, 3});
  CHECK_FALSE(index.dense);
  const auto dense = children_of({0, 0, 1, 1, 2, 2}, 3);
  CHECK(dense.dense);
  CHECK(dense.width == 2);
  CHECK_FALSE(children_of({0, 1, 0, 1}, 2).dense);     // in another order
  CHECK_FALSE(children_of({0, 0, 1, 1, 2}, 3).dense);  // one is missing
  CHECK_FALSE(children_of({0, 0}, 2).dense);           // a parent without children
  CHECK(children_of({}, 0).offsets == std::vector<std::int64_t>{0});
  CHECK_THROWS_WITH_AS(children_of({0, 4}, 4), "milkit::data::children_of: the parent of row 1 is 4, expected 0 to 3",
                       value_error);
  CHECK_THROWS_AS(children_of({-1}, 4), value_error);
}
