#include <doctest/doctest.h>

#include <cmath>

#include <milkit/train/history.hpp>

using namespace milkit;

TEST_CASE("a history keeps columns of one length, NaN where an epoch said nothing") {
  train::history history;
  CHECK(history.epochs() == 0);
  history.add({{"loss", 0.7}});
  history.add({{"auc", 0.8}, {"loss", 0.6}});
  history.add({{"auc", 0.9}});
  CHECK(history.epochs() == 3);
  CHECK(history.names() == std::vector<std::string>{"loss", "auc"});
  CHECK(history.column("loss")[1] == 0.6);
  CHECK(std::isnan(history.column("loss")[2]));
  CHECK(std::isnan(history.column("auc")[0]));
  CHECK(history.column("auc")[2] == 0.9);
}

TEST_CASE("a history refuses unknown names, and a name given twice without adding anything") {
  train::history history;
  CHECK_THROWS_WITH_AS(history.column("loss"), "milkit::train::history: there is no figure \"loss\"", value_error);
  CHECK_THROWS_AS(history.add({{"loss", 1}, {"loss", 2}}), value_error);
  CHECK(history.epochs() == 0);
  CHECK(history.names().empty());
}
