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

std::optional<resolution> known(const property_map& properties, std::optional<mpp> given = {}) {
  return find_resolution(properties, given).known;
}

property_map without(property_map properties, std::initializer_list<const char*> names) {
  for (const char* name : names) properties.erase(name);
  return properties;
}

}  // namespace

TEST_CASE("find_resolution: user, mpp, TIFF, objective power -> the first that is there") {
  CHECK(known(everything, mpp{1})->source == resolution_source::user);
  CHECK(known(everything, mpp{1})->pixel.x == 1);
  property_map rest = everything;
  REQUIRE(known(rest));
  CHECK(known(rest)->source == resolution_source::mpp_property);
  CHECK(known(rest)->pixel.x == 0.2325);
  CHECK(known(rest)->pixel.y == 0.233);

  rest = without(rest, {"openslide.mpp-x", "openslide.mpp-y"});
  REQUIRE(known(rest));
  CHECK(known(rest)->source == resolution_source::tiff_resolution);
  CHECK(known(rest)->pixel.x == 0.5);

  rest.erase("tiff.ResolutionUnit");
  REQUIRE(known(rest));
  CHECK(known(rest)->source == resolution_source::objective_power);
  CHECK(known(rest)->pixel.y == 0.5);

  rest.erase("openslide.objective-power");
  CHECK_FALSE(known(rest));
  CHECK(known({{"aperio.AppMag", "20.000000"}})->pixel.x == 0.5);
  CHECK(known({{"aperio.MPP", " 0,25 "}})->pixel.x == 0.25);
}

TEST_CASE("find_resolution: a figure that no slide has -> the next one, and a note") {
  const property_map beside = {{"openslide.objective-power", "20"}};
  for (const char* wrong : {"0.0005", "0.005", "0.05", "0.0799", "20.1", "353"}) {
    CAPTURE(wrong);
    property_map properties = beside;
    properties["openslide.mpp-x"] = properties["openslide.mpp-y"] = wrong;
    const auto found = find_resolution(properties);
    REQUIRE(found.known);
    CHECK(found.known->pixel.x == 0.5);
    CHECK(found.note ==
          std::string("the mpp property says ") + wrong + " microns a pixel, which no slide has, and is passed over");
    CHECK(find_resolution(properties, mpp{0.4}).known->pixel.x == 0.4);
  }
  CHECK_FALSE(known({{"tiff.ResolutionUnit", "centimeter"}, {"tiff.XResolution", "2000000"}}));  // 0.005
  CHECK_FALSE(known({{"openslide.objective-power", "200"}}));
  CHECK_FALSE(known({{"openslide.mpp-x", "0.5"}, {"openslide.mpp-y", "0.0005"}}));
  for (const char* right : {"0.08", "0.1", "20"}) CHECK(known({{"openslide.mpp-x", right}}));
  CHECK(find_resolution(everything).note.empty());
}

TEST_CASE("find_resolution: the user's word far from the file's -> told") {
  CHECK(find_resolution(everything, mpp{0.24}).note.empty());
  CHECK(find_resolution(everything, mpp{0.5}).note ==
        "the mpp property says 0.2325 x 0.233 microns a pixel, but 0.5 was given and is used");
}

TEST_CASE("a TIFF counts dots in inches or centimetres, and one axis stands for both") {
  const auto found = known({{"tiff.ResolutionUnit", "centimeter"}, {"tiff.XResolution", "40000"}});
  REQUIRE(found);
  CHECK(found->pixel.x == 0.25);
  CHECK(found->pixel.y == 0.25);
  CHECK_FALSE(known({{"tiff.ResolutionUnit", "none"}, {"tiff.XResolution", "40000"}}));
}

TEST_CASE("what cannot be the resolution of a slide is passed over") {
  CHECK_FALSE(known({{"tiff.ResolutionUnit", "inch"}, {"tiff.XResolution", "72"}}));
  for (const char* nonsense : {"", "0", "-0.25", "nan", "inf", "0.25um", "many"}) {
    CAPTURE(nonsense);
    CHECK_FALSE(known({{"openslide.mpp-x", nonsense}, {"openslide.mpp-y", nonsense}}));
    CHECK_FALSE(known({{"openslide.objective-power", nonsense}}));
    CHECK_FALSE(known({{"tiff.ResolutionUnit", "inch"}, {"tiff.XResolution", nonsense}}));
  }
}

TEST_CASE("a given resolution that is not positive is refused, even where it is not needed") {
  for (const double wrong :
       {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(known(everything, mpp{wrong}), milkit::value_error);
}
