#include <doctest/doctest.h>

#include <fstream>

#include <support/close.hpp>
#include <support/paths.hpp>

namespace mt = milkit::test;
constexpr double nan_value = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

TEST_CASE("close is true only when proven") {
  const mt::tolerance wide{.absolute = 1e300, .relative = 1e300};
  CHECK(mt::close(1.0, 1.0, {}));
  CHECK(mt::close(1.0 + 1e-12, 1.0, {.relative = 1e-10}));
  CHECK_FALSE(mt::close(1.1, 1.0, {.absolute = 0.05, .relative = 0.04}));
  CHECK(mt::close(infinity, infinity, {}));
  CHECK_FALSE(mt::close(infinity, -infinity, wide));
  CHECK_FALSE(mt::close(1.0, infinity, wide));
  CHECK_FALSE(mt::close(infinity, 1.0, {.absolute = 1, .relative = 1}));
  CHECK_FALSE(mt::close(nan_value, nan_value, wide));
  CHECK_FALSE(mt::close(nan_value, 1.0, wide));
  CHECK_FALSE(mt::close(1.0, nan_value, wide));
}

TEST_CASE("relative_error is measured against the largest reference") {
  using values = std::vector<double>;
  CHECK(mt::relative_error(values{1.0, 11.0}, values{1.0, 10.0}) == doctest::Approx(0.1));
  CHECK(mt::relative_error(values{0.0, 0.5}, values{0.0, 0.0}) == 0.5);
  CHECK(mt::relative_error(values{}, values{}) == 0.0);
  CHECK(mt::relative_error(values{1.0}, values{1.0, 2.0}) == infinity);
  CHECK(mt::relative_error(values{nan_value}, values{nan_value}) == infinity);
  CHECK(mt::relative_error(values{nan_value, 1.0}, values{2.0, 1.0}) == infinity);
  CHECK(mt::relative_error(values{infinity}, values{1.0}) == infinity);
  CHECK(mt::relative_error(values{-infinity, 2.0}, values{-infinity, 2.0}) == 0.0);
}

TEST_CASE("relative_error reads a view by its rows") {
  const std::vector<float> padded{1, 2, 99, 3, 4, 99};
  const milkit::matrix_view<const float> view(padded.data(), milkit::shape<2>{2, 2}, 3);
  CHECK(mt::relative_error(view, std::vector<int>{1, 2, 3, 4}) == 0.0);
}

TEST_CASE("a temporary directory is empty, its own, and gone at the end") {
  std::filesystem::path path;
  {
    const mt::temporary_directory one, other;
    path = one.path();
    CHECK(path != other.path());
    CHECK(std::filesystem::is_empty(path));
    std::ofstream(path / "file") << "text";
  }
  CHECK_FALSE(std::filesystem::exists(path));
}
