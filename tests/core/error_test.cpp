#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <milkit/core/error.hpp>

using namespace milkit;

TEST_CASE("message: numbers as short as they read back, and one text for NaN of either sign") {
  CHECK(message("x is ", 3, ", ", 0.1, ", ", 0.1f, ", ", -2.0) == "x is 3, 0.1, 0.1, -2");
  constexpr double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  CHECK(message(nan, " ", std::copysign(nan, -1.0), " ", -inf) == "nan nan -inf");
  CHECK(message(std::copysign(std::numeric_limits<float>::quiet_NaN(), -1.0f)) == "nan");
}

TEST_CASE("errors name the operation and both numbers") {
  CHECK_THROWS_WITH_AS(expect_extent("op", "x.cols", 3, 4), "op: x.cols is 3, expected 4", shape_error);
  CHECK_THROWS_WITH_AS(expect_value(false, "op", "rate is ", -1.5, ", expected at least 0"),
                       "op: rate is -1.5, expected at least 0", value_error);
  CHECK_NOTHROW(expect_extent("op", "x.cols", 4, 4));
}
