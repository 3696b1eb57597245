#include <doctest/doctest.h>

#include <map>
#include <set>

#include <milkit/data/standardise.hpp>
#include <milkit/train/cross_validation.hpp>

#include <support/small_training.hpp>

using namespace milkit;

namespace {

using run_result = std::pair<train::evaluation, train::history>;

std::vector<std::int64_t> alternating(std::int64_t bags) {
  std::vector<std::int64_t> labels;
  for (std::int64_t b = 0; b < bags; ++b) labels.push_back(b % 2);
  return labels;
}

/// Trains on the training part, standardised by it alone.
train::cross_validation_result cross_validate(const data::bag_table& bags,
                                              const train::cross_validation_options& options, int threads = 1,
                                              std::span<const std::string> groups = {}) {
  cpu host{.threads = threads};
  return train::cross_validate(
      host, bags.labels, groups, options, [&](cpu& backend, const train::fold& fold, std::uint64_t seed) -> run_result {
        const data::bag_table scaled = data::standardised(bags, fold.train);
        train::table_dataset all(scaled);
        train::subset training(all, fold.train), test(all, fold.test);
        train::trainer trainer(backend, test::dropping_network(), train::adam{.learning_rate = 1e-2});
        auto weights = initial_parameters<float>(test::dropping_network(), {.seed = seed});
        auto history = trainer.fit(weights, training, {.epochs = 20, .seed = seed});
        return {trainer.evaluate(weights, test), std::move(history)};
      });
}

}  // namespace

TEST_CASE("cross_validate: any thread count -> every bag tested once a repeat, same figures") {
  const data::bag_table bags = test::needle_bags(30);
  const auto want = cross_validate(bags, {.folds = 5, .repeats = 2, .seed = 3});
  REQUIRE(want.folds.size() == 10);
  std::map<std::int64_t, std::multiset<std::int64_t>> tested;
  for (const auto& fold : want.folds) {
    tested[fold.repeat].insert(fold.test.begin(), fold.test.end());
    CHECK(fold.result.labels.size() == fold.test.size());
    for (std::size_t i = 0; i < fold.test.size(); ++i) CHECK(fold.result.labels[i] == fold.test[i] % 2);
  }
  for (const auto& [repeat, all] : tested) {
    CHECK(all.size() == 30);
    CHECK(std::set<std::int64_t>(all.begin(), all.end()).size() == 30);
  }
  CHECK(want.folds[0].test != want.folds[5].test);
  CHECK(want.accuracy().count == 10);
  CHECK(want.accuracy().mean >= 0.7);
  for (const int threads : {2, 3}) {
    const auto got = cross_validate(bags, {.folds = 5, .repeats = 2, .seed = 3}, threads);
    for (std::size_t f = 0; f < 10; ++f) {
      CHECK(got.folds[f].test == want.folds[f].test);
      CHECK(test::same_bits(got.folds[f].result.probabilities, want.folds[f].result.probabilities));
      CHECK(test::same_bits(got.folds[f].history.column("loss"), want.folds[f].history.column("loss")));
    }
  }
  const auto alone = cross_validate(bags, {.folds = 5, .only_fold = 4, .seed = 3}, 2);
  REQUIRE(alone.folds.size() == 1);
  CHECK(test::same_bits(alone.folds[0].result.probabilities, want.folds[3].result.probabilities));
}

TEST_CASE("cross_validate: any fold -> no patient or feature of its test part in training") {
  const auto labels = alternating(24);
  std::vector<std::string> patients;
  for (int b = 0; b < 24; ++b) patients.push_back(message("patient ", b / 3));
  std::mutex mutex;
  cpu host{.threads = 2};
  train::cross_validate(host, labels, patients, {.folds = 4, .repeats = 3},
                        [&](cpu&, const train::fold& fold, std::uint64_t) -> run_result {
                          const std::lock_guard lock(mutex);
                          std::set<std::string> seen;
                          for (const std::int64_t b : fold.train) seen.insert(patients[static_cast<std::size_t>(b)]);
                          for (const std::int64_t b : fold.test)
                            CHECK(seen.count(patients[static_cast<std::size_t>(b)]) == 0);
                          CHECK(fold.train.size() + fold.test.size() == 24);
                          return {};
                        });

  // What the test bags hold changes nothing of the scaling of the training bags.
  const data::bag_table bags = test::needle_bags(10);
  data::bag_table changed{bags.instances.clone(), bags.offsets, bags.labels, bags.names, {}, {}};
  const std::vector<std::int64_t> fit_on = {0, 1, 2, 5, 7};
  for (const std::int64_t b : {3, 4, 6, 8, 9})
    for (std::int64_t i = bags.offsets[static_cast<std::size_t>(b)]; i < bags.offsets[static_cast<std::size_t>(b) + 1];
         ++i)
      changed.instances.view()(i, 0) = 1e6f;
  const auto one = data::standardised(bags, fit_on), two = data::standardised(changed, fit_on);
  for (const std::int64_t b : fit_on) CHECK(test::same_bits(one.bag(b), two.bag(b)));
}

TEST_CASE("cross_validate: a class absent from a fold -> AUROC undefined, others averaged") {
  data::bag_table bags = test::needle_bags(12);
  std::fill(bags.labels.begin(), bags.labels.end(), 0);
  bags.labels[1] = bags.labels[3] = 1;
  const auto result = cross_validate(bags, {.folds = 4, .seed = 1}, 2);
  int undefined = 0;
  for (const auto& fold : result.folds) undefined += std::isnan(fold.result.auroc) ? 1 : 0;
  CHECK(undefined == 2);
  CHECK(result.auroc().count == 2);
  CHECK(std::isfinite(result.auroc().mean));
  CHECK(result.accuracy().count == 4);
}

TEST_CASE("cross_validate: too many folds, an unknown one, one that throws -> reported") {
  const data::bag_table bags = test::needle_bags(6);
  CHECK_THROWS_WITH_AS(cross_validate(bags, {.folds = 7}),
                       "milkit::train::stratified_k_fold: folds is 7, expected at most the number of bags, 6",
                       value_error);
  CHECK_THROWS_WITH_AS(cross_validate(bags, {.folds = 3, .repeats = 0}),
                       "milkit::train::cross_validate: repeats is 0, expected at least 1", value_error);
  CHECK_THROWS_WITH_AS(cross_validate(bags, {.folds = 3, .only_fold = 4}),
                       "milkit::train::cross_validate: only_fold is 4, expected 1 to 3 or 0 for all", value_error);
  const std::vector<std::string> one_patient(6, "p");
  CHECK_THROWS_AS(cross_validate(bags, {.folds = 2}, 1, one_patient), value_error);
  for (const int threads : {1, 2}) {
    cpu host{.threads = threads};
    CHECK_THROWS_WITH_AS(
        train::cross_validate(host, bags.labels, {}, {.folds = 3},
                              [](cpu&, const train::fold& fold, std::uint64_t) -> run_result {
                                throw io_error(message("bag ", fold.test[0]));
                              }),
        message("bag ",
                train::stratified_k_fold(
                    bags.labels, {.folds = 3, .seed = random_stream(0, 0, 0).below(std::uint64_t{1} << 62, 0, 0)})[0]
                    .test[0])
            .c_str(),
        io_error);
  }
}

TEST_CASE("standardised: its bags -> mean 0, deviation 1; a constant feature only shifted") {
  data::bag_table bags = test::needle_bags(10);
  for (std::int64_t i = 0; i < bags.instances.rows(); ++i) bags.instances.view()(i, 5) = 7;
  const std::vector<std::int64_t> fit_on = {0, 1, 2, 5, 7};
  const auto scaled = data::standardised(bags, fit_on);
  for (std::int64_t j = 0; j < 6; ++j) {
    double sum = 0, square = 0, count = 0;
    for (const std::int64_t b : fit_on)
      for (const double x : test::elements(scaled.bag(b).columns(j, 1))) sum += x, square += x * x, ++count;
    CHECK(test::close(sum / count, 0, {.absolute = 1e-6}));
    CHECK(test::close(square / count, j == 5 ? 0 : 1, {.absolute = 1e-5}));
  }
  CHECK_THROWS_AS(data::standardised(bags, {}), value_error);
  CHECK_THROWS_WITH_AS(data::standardised(bags, std::vector<std::int64_t>{0, 10}),
                       "milkit::data::standardised: index 10 is outside the 10 bags", value_error);
}

TEST_CASE("mean_of leaves undefined values out") {
  const std::vector<double> values = {1, std::nan(""), 2, 6};
  const auto got = train::mean_of(values);
  CHECK(got.count == 3);
  CHECK(got.mean == doctest::Approx(3));
  CHECK(got.deviation == doctest::Approx(std::sqrt(7.0)));
  const std::vector<double> none = {std::nan("")};
  CHECK(std::isnan(train::mean_of(none).mean));
  CHECK(train::mean_of(std::vector<double>{4}).deviation == 0);
}
