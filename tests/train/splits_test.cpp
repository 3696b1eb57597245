#include <doctest/doctest.h>

#include <numeric>

#include <map>
#include <set>

#include <milkit/train/splits.hpp>

using namespace milkit;
using integers = std::vector<std::int64_t>;
using names = std::vector<std::string>;

namespace {

integers random_labels(std::int64_t n, std::uint64_t classes, std::uint64_t seed) {
  const random_stream stream(seed, 0, 0);
  integers labels;
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n); ++i)  // class 0 twice as often
    labels.push_back(static_cast<std::int64_t>(stream.below(classes + 1, i, 0) % classes));
  return labels;
}

/// Patients with one to five bags.
names random_groups(std::int64_t n, std::uint64_t seed) {
  const random_stream stream(seed, 1, 0);
  names groups;
  for (std::uint64_t patient = 0; static_cast<std::int64_t>(groups.size()) < n; ++patient)
    for (std::uint64_t i = stream.below(5, patient, 0) + 1; i > 0; --i) groups.push_back(message("P", patient));
  groups.resize(static_cast<std::size_t>(n));
  return groups;
}

std::int64_t of_class(const integers& labels, const integers& part, std::int64_t k) {
  return std::count_if(part.begin(), part.end(),
                       [&](std::int64_t i) { return labels[static_cast<std::size_t>(i)] == k; });
}

/// Every bag is tested once, and in each fold the rest is trained on.
void check_partition(const std::vector<train::fold>& folds, std::int64_t n) {
  std::set<std::int64_t> tested;
  for (const auto& each : folds) {
    CHECK_FALSE(each.test.empty());
    CHECK(std::is_sorted(each.test.begin(), each.test.end()));
    CHECK(std::is_sorted(each.train.begin(), each.train.end()));
    CHECK(static_cast<std::int64_t>(each.train.size() + each.test.size()) == n);
    CHECK_NOTHROW(train::check_no_leakage(n, {}, {each.train, each.test}));
    for (const std::int64_t i : each.test) CHECK(tested.insert(i).second);
  }
  CHECK(static_cast<std::int64_t>(tested.size()) == n);
}

}  // namespace

TEST_CASE("stratified_k_fold: no groups -> folds and classes differ by one bag at most") {
  for (const std::int64_t n : {10, 31, 92, 257})
    for (const std::uint64_t classes : {1u, 2u, 3u, 5u})
      for (const std::int64_t k : {2, 3, 7, 10}) {
        const integers labels = random_labels(n, classes, static_cast<std::uint64_t>(n) + classes);
        const auto folds = train::stratified_k_fold(labels, {.folds = k, .seed = 3});
        check_partition(folds, n);
        for (std::int64_t c = 0; c < static_cast<std::int64_t>(classes); ++c) {
          std::set<std::int64_t> counts;
          for (const auto& each : folds) counts.insert(of_class(labels, each.test, c));
          CHECK(*counts.rbegin() - *counts.begin() <= 1);
        }
        std::set<std::size_t> sizes;
        for (const auto& each : folds) sizes.insert(each.test.size());
        CHECK(*sizes.rbegin() - *sizes.begin() <= 1);
      }
}

TEST_CASE("fold sizes differ by at most one for any order of many classes") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    const integers labels = random_labels(60 + static_cast<std::int64_t>(seed) % 40, 6, seed);
    std::set<std::size_t> sizes;
    for (const auto& each : train::stratified_k_fold(labels, {.folds = 9, .seed = seed}))
      sizes.insert(each.test.size());
    CHECK(*sizes.rbegin() - *sizes.begin() <= 1);
  }
}

TEST_CASE("folds are a function of the seed, and differ between seeds") {
  const integers labels = random_labels(60, 2, 1);
  const auto tests_of = [&](std::uint64_t seed) {
    std::vector<integers> all;
    for (const auto& each : train::stratified_k_fold(labels, {.folds = 5, .seed = seed})) all.push_back(each.test);
    return all;
  };
  CHECK(tests_of(1) == tests_of(1));
  CHECK(tests_of(1) != tests_of(2));
}

TEST_CASE("with groups no patient is in two folds and the classes stay near their shares") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    constexpr std::int64_t n = 300, k = 5;
    const integers labels = random_labels(n, 2, seed);  // patients of mixed classes
    const names groups = random_groups(n, seed);
    const auto folds = train::stratified_k_fold(labels, groups, {.folds = k, .seed = seed});
    check_partition(folds, n);
    integers every(n);
    std::iota(every.begin(), every.end(), std::int64_t{0});
    for (const auto& each : folds) {
      CHECK_NOTHROW(train::check_no_leakage(n, groups, {each.train, each.test}));
      for (const std::int64_t c : {0, 1}) {
        const double share = static_cast<double>(of_class(labels, every, c)) / k;
        CHECK(std::abs(static_cast<double>(of_class(labels, each.test, c)) - share) <= 3);
      }
    }
  }
}

TEST_CASE("groups of unequal size: none of the folds stays empty") {
  integers labels(13, 0);
  names groups(13, "large");
  groups[11] = "small";
  groups[12] = "other";
  check_partition(train::stratified_k_fold(labels, groups, {.folds = 3}), 13);
}

TEST_CASE("stratified_k_fold: as many folds as bags -> leave one out") {
  check_partition(train::stratified_k_fold(integers{0, 1, 0, 1, 1}, {.folds = 5}), 5);
}

TEST_CASE("impossible folds are refused with both numbers") {
  CHECK_THROWS_WITH_AS(train::stratified_k_fold(integers{0, 1, 0}, {.folds = 4}),
                       "milkit::train::stratified_k_fold: folds is 4, expected at most the number of bags, 3",
                       value_error);
  CHECK_THROWS_WITH_AS(train::stratified_k_fold(integers{0, 1, 0, 1}, names{"a", "a", "b", "b"}, {.folds = 3}),
                       "milkit::train::stratified_k_fold: folds is 3, expected at most the number of groups, 2",
                       value_error);
  CHECK_THROWS_AS(train::stratified_k_fold(integers{0, 1, 0}, {.folds = 1}), value_error);
  CHECK_THROWS_AS(train::stratified_k_fold(integers{0, -1, 0}, {.folds = 2}), value_error);
  CHECK_THROWS_AS(train::stratified_k_fold(integers{0, 1}, names{"a"}, {.folds = 2}), shape_error);
  CHECK_THROWS_AS(train::stratified_hold_out(integers{}), value_error);
  CHECK_THROWS_AS(train::stratified_hold_out(integers{0, 1}, {.validation = 0.5, .test = 0.5}), value_error);
  CHECK_THROWS_AS(train::stratified_hold_out(integers{0, 1}, {.validation = -0.1}), value_error);
  CHECK_THROWS_AS(train::stratified_hold_out(integers{0, 1}, {.validation = std::nan("")}), value_error);
  CHECK_THROWS_AS(train::stratified_hold_out(integers{0, 0, 0, 1}, names{"a", "a", "a", "a"}), value_error);
}

TEST_CASE("a class with fewer bags than folds is reported as absent") {
  const integers labels = {0, 0, 0, 0, 0, 0, 2, 2};
  const auto folds = train::stratified_k_fold(labels, {.folds = 4});
  int without = 0;
  for (const auto& each : folds) {
    const integers absent = train::absent_classes(labels, each.test, 3);
    CHECK(absent.front() == 1);
    without += absent == integers{1, 2};
  }
  CHECK(without == 2);
  CHECK(train::absent_classes(labels, {}, 2) == integers{0, 1});
  CHECK_THROWS_AS(train::absent_classes(labels, integers{7}, 2), value_error);
  CHECK_THROWS_AS(train::absent_classes(labels, integers{8}, 3), value_error);
}

TEST_CASE("hold-out parts have their shares, by class and by patient") {
  const integers labels = random_labels(400, 3, 4);
  const names groups = random_groups(400, 4);
  for (const bool grouped : {false, true}) {
    const train::hold_out_options options{.validation = 0.1, .test = 0.25, .seed = 6};
    const auto parts =
        grouped ? train::stratified_hold_out(labels, groups, options) : train::stratified_hold_out(labels, options);
    CHECK(parts.train.size() + parts.validation.size() + parts.test.size() == 400);
    train::check_no_leakage(400, grouped ? groups : names{}, {parts.train, parts.validation, parts.test});
    integers every(400);
    std::iota(every.begin(), every.end(), std::int64_t{0});
    for (const std::int64_t c : {0, 1, 2}) {
      const double all = static_cast<double>(of_class(labels, every, c));
      CHECK(std::abs(static_cast<double>(of_class(labels, parts.train, c)) - 0.65 * all) <= (grouped ? 3 : 1));
      CHECK(std::abs(static_cast<double>(of_class(labels, parts.validation, c)) - 0.1 * all) <= (grouped ? 3 : 1));
      CHECK(std::abs(static_cast<double>(of_class(labels, parts.test, c)) - 0.25 * all) <= (grouped ? 3 : 1));
    }
  }
  CHECK(train::stratified_hold_out(labels, {.validation = 0, .test = 0.2}).validation.empty());
}

TEST_CASE("check_no_leakage names the patient, the bag and the parts") {
  const names groups = {"P1", "P2", "P2", "P3"};
  CHECK_NOTHROW(train::check_no_leakage(4, groups, {integers{0}, integers{1, 2}, integers{3}}));
  CHECK_THROWS_WITH_AS(train::check_no_leakage(4, groups, {integers{0, 1}, integers{}, integers{2}}),
                       "milkit::train::check_no_leakage: group \"P2\" is in part 0 and in part 2", value_error);
  CHECK_THROWS_WITH_AS(train::check_no_leakage(4, {}, {integers{0, 3}, integers{3}}),
                       "milkit::train::check_no_leakage: bag 3 is in part 0 and again in part 1", value_error);
  CHECK_THROWS_AS(train::check_no_leakage(4, groups, {integers{0, 0}}), value_error);
  CHECK_THROWS_AS(train::check_no_leakage(4, groups, {integers{4}}), value_error);
  CHECK_THROWS_AS(train::check_no_leakage(5, groups, {integers{0}}), shape_error);
}
