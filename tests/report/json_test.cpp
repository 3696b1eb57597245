#include <doctest/doctest.h>

#include <limits>

#include <milkit/data/input_file.hpp>
#include <milkit/report/json.hpp>
#include <support/paths.hpp>

TEST_CASE("a document keeps its order, and what is not finite becomes null") {
  const milkit::test::temporary_directory folder;
  milkit::report::json metrics;
  metrics["accuracy"]["mean"] = 0.9;
  metrics["accuracy"]["std"] = std::numeric_limits<double>::quiet_NaN();
  metrics["auc"] = "\xFF";
  milkit::report::write_json(folder.path() / "metrics.json", metrics);
  CHECK(milkit::data::read_all(folder.path() / "metrics.json") ==
        "{\n  \"accuracy\": {\n    \"mean\": 0.9,\n    \"std\": null\n  },\n  \"auc\": \"\xEF\xBF\xBD\"\n}\n");
}
