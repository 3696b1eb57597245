#include <milkit/slide/resolution.hpp>

#include <limits>

#include <doctest/doctest.h>

#include <support/close.hpp>

using namespace milkit::slide;
using milkit::test::close;

namespace {

const property_map everything = {{"openslide.mpp-x", "0.2325"},   {"openslide.mpp-y", "0.233"},
                                 {"tiff.ResolutionUnit", "inch"}, {"tiff.XResolution", "50800"},
                                 {"tiff.YResolution", "50800"},   {"openslide.objective-power", "20"}};

property_map without(property_map properties, std::initializer_list<const char*> names) {
  for (const char* name : names) properties.erase(name);
  return properties;
}

}  // namespace

TEST_CASE("find_resolution: several sources -> mpp, then TIFF, objective power, the user") {
  const auto found = find_resolution(everything, mpp{1});
  REQUIRE(found);
  CHECK(found->source == resolution_source::mpp_property);
  CHECK(found->pixel.x == 0.2325);
  CHECK(found->pixel.y == 0.233);

  property_map rest = without(everything, {"openslide.mpp-x", "openslide.mpp-y"});
  REQUIRE(find_resolution(rest, mpp{1}));
  CHECK(find_resolution(rest, mpp{1})->source == resolution_source::tiff_resolution);
  CHECK(find_resolution(rest, mpp{1})->pixel.x == 0.5);

  rest.erase("tiff.ResolutionUnit");
  REQUIRE(find_resolution(rest, mpp{1}));
  CHECK(find_resolution(rest, mpp{1})->source == resolution_source::objective_power);
  CHECK(find_resolution(rest, mpp{1})->pixel.y == 0.5);

  rest.erase("openslide.objective-power");
  REQUIRE(find_resolution(rest, mpp{1}));
  CHECK(find_resolution(rest, mpp{1})->source == resolution_source::user);
  CHECK(find_resolution(rest, mpp{1})->pixel.x == 1);
  CHECK_FALSE(find_resolution(rest));
}

TEST_CASE("a TIFF counts dots in inches or centimetres, and one axis stands for both") {
  const auto found = find_resolution({{"tiff.ResolutionUnit", "centimeter"}, {"tiff.XResolution", "40000"}});
  REQUIRE(found);
  CHECK(found->pixel.x == 0.25);
  CHECK(found->pixel.y == 0.25);
  CHECK_FALSE(find_resolution({{"tiff.ResolutionUnit", "none"}, {"tiff.XResolution", "40000"}}));
}

TEST_CASE("what cannot be the resolution of a slide is passed over") {
  CHECK_FALSE(find_resolution({{"tiff.ResolutionUnit", "inch"}, {"tiff.XResolution", "72"}}));
  for (const char* nonsense : {"", "0", "-0.25", "nan", "inf", "0.25um", "many"}) {
    CAPTURE(nonsense);
    CHECK_FALSE(find_resolution({{"openslide.mpp-x", nonsense}, {"openslide.mpp-y", nonsense}}));
    CHECK_FALSE(find_resolution({{"openslide.objective-power", nonsense}}));
    CHECK_FALSE(find_resolution({{"tiff.ResolutionUnit", "inch"}, {"tiff.XResolution", nonsense}}));
  }
}

TEST_CASE("a given resolution that is not positive is refused, even where it is not needed") {
  for (const double wrong :
       {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(find_resolution(everything, mpp{wrong}), milkit::value_error);
}
