#include <doctest/doctest.h>

#include <fstream>

#include <sys/wait.h>
#include <unistd.h>

#include <milkit/loss/binary_cross_entropy.hpp>

#include <data/full_disk.hpp>
#include <support/paths.hpp>
#include <support/small_training.hpp>

using namespace milkit;
using test::small_network;

namespace {

using weights_type = parameters<small_network, float>;

weights_type fresh_weights() { return initial_parameters<float>(test::dropping_network(), {.seed = 5}); }

struct outcome {
  weights_type weights = fresh_weights();
  train::history history;
};
/// Trains on 24 bags and validates on 10 others.
template <class Schedule = train::constant_schedule>
outcome train_once(const train::fit_options& options, int threads = 1, Schedule schedule = {},
                   train::adam adam = {.learning_rate = 3e-3}) {
  const data::bag_table bags = test::needle_bags(24), others = test::needle_bags(10, 2);
  train::table_dataset training(bags), validation(others);
  cpu backend{.threads = threads};
  outcome out;
  train::trainer trainer(backend, test::dropping_network(), adam, loss::cross_entropy{}, schedule);
  out.history = trainer.fit(out.weights, training, validation, options);
  return out;
}
bool same(const outcome& a, const outcome& b) {
  if (!test::same_bits(a.weights.flat(), b.weights.flat()) || a.history.names() != b.history.names()) return false;
  for (const auto& name : a.history.names())
    if (!test::same_bits(a.history.column(name), b.history.column(name))) return false;
  return true;
}

/// A "network" of one weight w whose loss on a bag is given by a function of the bag's only number and w, with its
/// slope.
template <class Loss>
struct plain_network {
  Loss loss_and_slope;
  constexpr auto list(auto& l) const { return std::tuple{l.vector("w", 1, {.scheme = init::zeros})}; }
  template <class Bags>
  double train_bags(cpu&, auto weights, const Bags& bags, auto, const auto&, double scale, auto gradient,
                    const pass&) const {
    const auto [value, slope] = loss_and_slope(bags.source().instances(0, 0), weights(0));
    gradient(0) += static_cast<float>(scale * slope);
    return value;
  }
  template <class Bags>
  void infer(cpu&, auto, const Bags& bags, auto logits) const {
    logits(0, 0) = 0;
    logits(0, 1) = bags.source().instances(0, 0);
  }
};
template <class Loss>
plain_network(Loss) -> plain_network<Loss>;

/// Bags of one instance with one feature.
data::bag_table numbers(const std::vector<float>& values, std::vector<std::int64_t> labels = {}) {
  data::bag_table table;
  table.instances = tensor<float, 2>({static_cast<std::int64_t>(values.size()), 1});
  std::copy(values.begin(), values.end(), table.instances.data());
  for (std::size_t i = 0; i < values.size(); ++i) table.offsets.push_back(static_cast<std::int64_t>(i) + 1);
  table.labels = std::move(labels);
  table.labels.resize(values.size());
  if (*std::max_element(table.labels.begin(), table.labels.end()) == 0) table.labels.back() = 1;
  return table;
}

}  // namespace

TEST_CASE("trainer: one logit, binary cross-entropy -> learns; both probabilities come out") {
  using one_logit = models::bag_classifier<nn::sequential<nn::linear<6, 8>, nn::relu>, pooling::gated_attention<8, 5>,
                                           nn::linear<8, 1>>;
  const data::bag_table bags = test::needle_bags(40), others = test::needle_bags(20, 2);
  train::table_dataset training(bags), validation(others);
  cpu backend{.threads = 1};
  auto weights = initial_parameters<one_logit, float>(backend, {.seed = 1});
  train::trainer trainer(backend, one_logit{}, train::adam{.learning_rate = 1e-2},
                         loss::binary_cross_entropy{.positive_weight = 1.5});
  trainer.fit(weights, training, validation, {.epochs = 30});  // by the loss: an AUROC does not feel the threshold
  const auto result = trainer.evaluate(weights, validation);
  CHECK(result.accuracy >= 0.9);
  REQUIRE(result.probabilities.size() == 40);
  for (std::int64_t b = 0; b < 20; ++b) {
    tensor<float, 2> logit({1, 1});
    one_logit{}.infer(backend, std::as_const(weights).flat(), validation.bag(b), logit.view());
    const double p = 1 / (1 + std::exp(-static_cast<double>(logit.data()[0])));
    CHECK(test::close(result.probabilities[static_cast<std::size_t>(2 * b + 1)], p, {.absolute = 1e-12}));
    CHECK(test::close(result.probabilities[static_cast<std::size_t>(2 * b)], 1 - p, {.absolute = 1e-12}));
    CHECK(result.predictions[static_cast<std::size_t>(b)] == (p > 0.5 ? 1 : 0));
  }
  data::bag_table three = test::needle_bags(6);
  three.labels[5] = 2;
  train::table_dataset too_many(three);
  CHECK_THROWS_WITH_AS(trainer.fit(weights, too_many),
                       "milkit::loss::binary_cross_entropy: there are 3 classes, expected 2", value_error);
}

TEST_CASE("trainer: bags with a needle -> learns to find it") {
  const outcome out = train_once({.epochs = 60, .seed = 1});
  const data::bag_table unseen = test::needle_bags(60, 9);
  train::table_dataset dataset(unseen);
  cpu backend{.threads = 1};
  train::trainer trainer(backend, test::dropping_network(), train::adam{});
  const auto result = trainer.evaluate(out.weights, dataset);
  CHECK(result.accuracy >= 0.9);
  CHECK(result.auroc >= 0.95);
  CHECK(result.probabilities.size() == 120);
  CHECK(out.history.epochs() == 60);
  CHECK(out.history.column("loss").back() < 0.5 * out.history.column("loss").front());
}

TEST_CASE("trainer: a seed -> the same bits at any thread count; another seed -> others") {
  const train::fit_options options{.epochs = 4, .seed = 3, .bags_per_step = 5, .clip_norm = 0.5};
  const outcome want = train_once(options);
  for (const int threads : {1, 2, 3}) CHECK(same(train_once(options, threads), want));
  auto other = options;
  other.seed = 4;
  CHECK_FALSE(same(train_once(other), want));
}

TEST_CASE("trainer: stopped after any epoch, resumed -> the bits of an unbroken training") {
  const test::temporary_directory folder;
  train::fit_options options{
      .epochs = 6, .seed = 3, .order = train::bag_order::balanced, .bags_per_step = 5, .clip_norm = 0.5};
  const train::reduce_on_plateau schedule{.factor = 0.5, .patience = 0, .threshold = 0.2};
  const outcome want = train_once(options, 1, schedule);
  CHECK(want.history.column("learning_rate").back() < want.history.column("learning_rate").front());
  for (const std::int64_t stop : {1, 3, 5, 6}) {
    auto first = options;
    first.checkpoint = folder.path() / message("stopped after ", stop);
    first.epochs = stop;
    train_once(first, 1, schedule);
    first.epochs = options.epochs;
    CHECK(same(train_once(first, 2, schedule), want));
  }
}

TEST_CASE("trainer: killed at any moment and started again -> the bits of an uninterrupted training") {
  const test::temporary_directory folder;
  train::fit_options options{.epochs = 1000000, .seed = 3, .bags_per_step = 3};  // until it is killed
  options.checkpoint = folder.path() / "run.safetensors";
  const auto finished_epochs = [&]() -> std::int64_t {
    if (!std::filesystem::exists(options.checkpoint)) return 0;
    return data::safetensors_reader(options.checkpoint).read<std::int64_t, 1>("training.progress").data()[0];
  };
  const random_stream delays(1, 0, 0);
  for (std::uint64_t attempt = 0; attempt < 8; ++attempt) {
    const std::int64_t before = finished_epochs();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      try {
        train_once(options);
      } catch (...) {
      }
      ::_exit(1);
    }
    int status = 0;
    // Every other one has gone on for an epoch or more; where in the next it is depends on the machine.
    while (attempt % 2 == 1 && finished_epochs() == before && ::waitpid(child, &status, WNOHANG) == 0) ::usleep(100);
    ::usleep(static_cast<useconds_t>(delays.below(5000, attempt, 0)));
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    if (attempt % 2 == 1) CHECK(finished_epochs() > before);
  }
  options.epochs = finished_epochs() + 5;
  const outcome resumed = train_once(options);
  options.checkpoint.clear();
  CHECK(same(resumed, train_once(options)));
}

TEST_CASE("trainer: early stopping, resumed or not -> the best epoch's weights at the end") {
  const test::temporary_directory folder;
  // A large rate makes the validation loss jump about, so that the best epoch is not the last.
  const train::adam adam{.learning_rate = 0.2};
  train::fit_options options{.epochs = 40, .seed = 3, .patience = 3};
  const outcome stopped = train_once(options, 1, train::constant_schedule{}, adam);
  const auto& losses = stopped.history.column("validation_loss");
  const auto best = std::min_element(losses.begin(), losses.end()) - losses.begin();
  REQUIRE(stopped.history.epochs() < 40);
  CHECK(stopped.history.epochs() == best + 1 + 3);

  train::fit_options exact{.epochs = best + 1, .seed = 3, .restore_best = false};
  CHECK(test::same_bits(train_once(exact, 1, train::constant_schedule{}, adam).weights.flat(), stopped.weights.flat()));
  auto last = options;
  last.restore_best = false;
  CHECK_FALSE(
      test::same_bits(train_once(last, 1, train::constant_schedule{}, adam).weights.flat(), stopped.weights.flat()));

  for (const std::int64_t every : {1, 2, 1000}) {
    auto resumed = options;
    resumed.checkpoint = folder.path() / message("every ", every);
    resumed.checkpoint_every = every;
    resumed.epochs = best + 2;
    train_once(resumed, 1, train::constant_schedule{}, adam);
    resumed.epochs = 40;
    CHECK(same(train_once(resumed, 1, train::constant_schedule{}, adam), stopped));
    CHECK(same(train_once(resumed, 1, train::constant_schedule{}, adam), stopped));  // it was finished
  }
}

TEST_CASE("trainer: accumulated gradients, class weights -> those of one ragged batch") {
  const data::bag_table bags = test::needle_bags(7);
  train::table_dataset dataset(bags);
  small_network net;  // without dropout, whose random numbers differ
  net.embedding.encoder = nn::sequential<nn::linear<6, 8>, nn::relu, nn::dropout>({}, {}, {.rate = 0});
  for (const std::vector<double>& class_weight : {std::vector<double>{}, std::vector<double>{0.3, 2}}) {
    const loss::cross_entropy loss{class_weight};
    auto trained = initial_parameters<float>(net, {.seed = 5});
    auto by_hand = trained.clone(), gradient = trained.zeros();
    cpu backend{.threads = 2};
    train::trainer trainer(backend, net, train::sgd{.learning_rate = 0.5}, loss);
    const auto history = trainer.fit(trained, dataset, {.epochs = 1, .bags_per_step = 7});
    const vector_view<const std::int64_t> offsets(bags.offsets.data(), {8}), labels(bags.labels.data(), {7});
    const double value = net.train_bags(backend, by_hand.flat(), bags_of(bags.instances.view(), offsets), labels, loss,
                                        1.0, gradient.flat(), {.training = true});
    for (std::int64_t i = 0; i < by_hand.flat().extent(0); ++i) by_hand.flat()(i) -= 0.5f * gradient.flat()(i);
    CHECK(test::relative_error(trained.flat(), by_hand.flat()) <= 1e-6);
    CHECK(test::close(history.column("loss")[0], value, {.relative = 1e-6}));
    CHECK(test::close(
        trainer.evaluate(trained, dataset).loss,
        loss::value(loss, backend,
                    models::predict(backend, net, trained, bags_of(bags.instances.view(), offsets)).logits.view(),
                    labels),
        {.relative = 1e-6}));
  }
}

TEST_CASE("trainer: clipping bounds the step") {
  plain_network steep{[](float, float) { return std::pair(1.0, 1000.0); }};
  const data::bag_table bags = numbers({1, 2, 3});
  train::table_dataset dataset(bags);
  cpu backend{.threads = 1};
  train::trainer trainer(backend, steep, train::sgd{.learning_rate = 0.5});
  parameters<decltype(steep), float> weights(steep);
  trainer.fit(weights, dataset, {.epochs = 1, .bags_per_step = 3, .clip_norm = 2});
  CHECK(weights["w"](0) == doctest::Approx(-1.0f));
}

TEST_CASE("trainer: NaN in loss or gradient -> its bags named, weights as before the step") {
  for (const bool in_loss : {true, false}) {
    plain_network odd{[in_loss](float x, float) {
      return std::pair(in_loss && x == 3 ? std::nan("") : 1.0, !in_loss && x == 3 ? std::nan("") : 1.0);
    }};
    const data::bag_table bags = numbers({1, 2, 3});
    train::table_dataset dataset(bags);
    cpu backend{.threads = 1};
    train::trainer trainer(backend, odd, train::sgd{.learning_rate = 1});
    parameters<decltype(odd), float> weights(odd);
    const auto order = train::epoch_order(bags.labels, 2, train::bag_order::shuffled, random_stream(0, 0, 1));
    const auto steps_before = std::find(order.begin(), order.end(), 2) - order.begin();
    const char* sentence =
        in_loss ? "milkit::train::trainer: the loss of bag 2 in epoch 1 is nan, expected a finite number"
                : "milkit::train::trainer: the gradient of bag 2 in epoch 1 has the norm nan, expected a finite number";
    CHECK_THROWS_WITH_AS(trainer.fit(weights, dataset, {.epochs = 5}), sentence, value_error);
    CHECK(weights["w"](0) == static_cast<float>(-steps_before));
  }
}

TEST_CASE("trainer: a bag with NaN features is named") {
  data::bag_table bags = test::needle_bags(6);
  bags.instances.view()(bags.offsets[4], 2) = std::nanf("");
  train::table_dataset dataset(bags);
  cpu backend{.threads = 2};
  train::trainer trainer(backend, test::dropping_network(), train::adam{});
  auto weights = fresh_weights();
  CHECK_THROWS_WITH_AS(trainer.fit(weights, dataset, {.epochs = 1}),
                       "milkit::train::trainer: the loss of bag 4 in epoch 1 is nan, expected a finite number",
                       value_error);
  for (const double each : test::elements(weights.flat())) CHECK(std::isfinite(each));
}

TEST_CASE("trainer: plateau schedule -> sees the validation loss, else the training loss") {
  // The validation loss never falls, the training loss always does.
  plain_network falling{[](float, float w) { return std::pair(100.0 + static_cast<double>(w), 1.0); }};
  const data::bag_table bags = numbers({1, 2}, {1, 1}), others = numbers({1, 2}, {0, 1});
  train::table_dataset training(bags), validation(others);
  cpu backend{.threads = 1};
  train::trainer trainer(backend, falling, train::sgd{.learning_rate = 8}, loss::cross_entropy{},
                         train::reduce_on_plateau{.factor = 0.5, .patience = 1});
  parameters<decltype(falling), float> weights(falling);
  const auto with = trainer.fit(weights, training, validation, {.epochs = 5});
  CHECK(with.column("learning_rate") == std::vector<double>{8, 8, 8, 4, 4});
  parameters<decltype(falling), float> again(falling);
  CHECK(trainer.fit(again, training, {.epochs = 5}).column("learning_rate") == std::vector<double>(5, 8.0));
}

TEST_CASE("trainer: undefined validation AUROC -> refused as a criterion") {
  const data::bag_table bags = test::needle_bags(6);
  data::bag_table one_class = test::needle_bags(4, 3);
  one_class.labels = {1, 1, 1, 1};
  train::table_dataset training(bags), validation(one_class);
  cpu backend{.threads = 1};
  train::trainer trainer(backend, test::dropping_network(), train::adam{});
  auto weights = fresh_weights();
  CHECK_THROWS_WITH_AS(
      trainer.fit(weights, training, validation, {.epochs = 3, .best_by = train::criterion::auroc}),
      "milkit::train::trainer: the AUROC to judge by is undefined: the validation bags are all of one class",
      value_error);
  CHECK(std::isnan(trainer.fit(weights, training, validation, {.epochs = 1, .best_by = train::criterion::accuracy})
                       .column("validation_auroc")[0]));
}

TEST_CASE("trainer refuses options and labels that make no sense") {
  const data::bag_table bags = test::needle_bags(6);
  data::bag_table none, wrong = test::needle_bags(6);
  wrong.labels[3] = -1;
  train::table_dataset training(bags), empty(none), labelled(wrong);
  cpu backend{.threads = 1};
  train::trainer trainer(backend, test::dropping_network(), train::adam{});
  auto weights = fresh_weights();
  const auto fit = [&](const train::fit_options& options) { trainer.fit(weights, training, options); };
  CHECK_THROWS_WITH_AS(fit({.epochs = 0}), "milkit::train::trainer: epochs is 0, expected at least 1", value_error);
  CHECK_THROWS_WITH_AS(fit({.bags_per_step = 0}), "milkit::train::trainer: bags_per_step is 0, expected at least 1",
                       value_error);
  CHECK_THROWS_WITH_AS(fit({.clip_norm = -1}), "milkit::train::trainer: clip_norm is -1, expected at least 0",
                       value_error);
  CHECK_THROWS_WITH_AS(fit({.patience = -1}), "milkit::train::trainer: patience is -1, expected at least 0",
                       value_error);
  CHECK_THROWS_WITH_AS(fit({.checkpoint_every = 0}),
                       "milkit::train::trainer: checkpoint_every is 0, expected at least 1", value_error);
  CHECK_THROWS_WITH_AS(trainer.fit(weights, empty), "milkit::train::trainer: there are no bags", value_error);
  CHECK_THROWS_WITH_AS(trainer.fit(weights, training, empty), "milkit::train::trainer: there are no validation bags",
                       value_error);
  CHECK_THROWS_WITH_AS(trainer.fit(weights, labelled), "milkit::train::trainer: bag 3 has label -1, expected 0 to 1",
                       value_error);
  CHECK_THROWS_WITH_AS(trainer.fit(weights, training, labelled),
                       "milkit::train::trainer: validation bag 3 has label -1, expected 0 to 1", value_error);
  wrong.labels[3] = 2;  // three classes, and a network of two
  CHECK_THROWS_WITH_AS(
      trainer.fit(weights, labelled, {.epochs = 1}),
      "milkit::train::trainer: bag 3 has label 2, but the network gives 2 logits, and 3 classes take 3", value_error);
  CHECK_THROWS_WITH_AS(
      trainer.fit(weights, training, labelled, {.epochs = 1}),
      "milkit::train::trainer: validation bag 3 has label 2, but the network gives 2 logits, and 3 classes take 3",
      value_error);
}

TEST_CASE("trainer names the bags of a subset by their index in the whole") {
  data::bag_table bags = test::needle_bags(6);
  bags.instances.view()(bags.offsets[4], 2) = std::nanf("");
  train::table_dataset all(bags);
  train::subset part(all, {5, 4});
  cpu backend{.threads = 1};
  train::trainer trainer(backend, test::dropping_network(), train::adam{});
  auto weights = fresh_weights();
  CHECK_THROWS_WITH_AS(trainer.fit(weights, part, {.epochs = 1}),
                       "milkit::train::trainer: the loss of bag 4 in epoch 1 is nan, expected a finite number",
                       value_error);
  bags.labels[4] = 2;
  CHECK_THROWS_WITH_AS(
      trainer.fit(weights, part, {.epochs = 1}),
      "milkit::train::trainer: bag 4 has label 2, but the network gives 2 logits, and 3 classes take 3", value_error);
  bags.labels[4] = -1;
  CHECK_THROWS_WITH_AS(trainer.fit(weights, part, {.epochs = 1}),
                       "milkit::train::trainer: bag 4 has label -1, expected 0 to 1", value_error);
}

TEST_CASE("trainer: a class of weight 0 contributes nothing, as if its bags were not there") {
  // Bags of class 0 have the slope NaN: were one looked at, the training would stop.
  plain_network half{[](float x, float) { return x < 0 ? std::pair(std::nan(""), 1.0) : std::pair(2.0, 1.0); }};
  const data::bag_table bags = numbers({-1, 1, -2, 2}, {0, 1, 0, 1}), none = numbers({-1, -2, 1}, {0, 0, 1});
  train::table_dataset dataset(bags), other(none);
  train::subset ignored(other, {0, 1});
  cpu backend{.threads = 1};
  for (const std::int64_t bags_per_step : {1, 4}) {
    train::trainer trainer(backend, half, train::sgd{.learning_rate = 0.5}, loss::cross_entropy{{0, 1}});
    parameters<decltype(half), float> weights(half);
    const auto history = trainer.fit(weights, dataset, {.epochs = 1, .bags_per_step = bags_per_step});
    CHECK(history.column("loss")[0] == 2);
    CHECK(weights["w"](0) == doctest::Approx(bags_per_step == 1 ? -1.0f : -0.5f));
    const auto result = trainer.evaluate(weights, dataset);  // logits 0 and x
    CHECK(result.accuracy == 1);
    CHECK(test::close(result.loss, (std::log1p(std::exp(-1.0)) + std::log1p(std::exp(-2.0))) / 2, {.relative = 1e-6}));
    CHECK(std::isnan(trainer.evaluate(weights, ignored).loss));
    CHECK_THROWS_WITH_AS(trainer.fit(weights, ignored, {.epochs = 1}),
                         "milkit::train::trainer: the labels of all bags have the weight 0", value_error);
  }
}

TEST_CASE("trainer: weights of classes that make no sense are refused before the first step") {
  const data::bag_table bags = test::needle_bags(6);
  train::table_dataset training(bags);
  cpu backend{.threads = 1};
  for (const double wrong : {-1.0, std::nan(""), HUGE_VAL}) {
    auto weights = fresh_weights();
    const auto before = weights.clone();
    train::trainer trainer(backend, test::dropping_network(), train::adam{}, loss::cross_entropy{{wrong, 1}});
    CHECK_THROWS_WITH_AS(
        trainer.fit(weights, training, {.epochs = 1}),
        message("milkit::loss::cross_entropy: class_weight[0] is ", wrong, ", expected a finite number of at least 0")
            .c_str(),
        value_error);
    CHECK(test::same_bits(weights.flat(), before.flat()));
    const tensor<float, 2> logits({2, 1});
    const std::int64_t labels[] = {0, 1};
    CHECK_THROWS_WITH_AS(loss::value(loss::binary_cross_entropy{wrong}, backend, logits.view(),
                                     vector_view<const std::int64_t>(labels, {2})),
                         message("milkit::loss::binary_cross_entropy: positive_weight is ", wrong,
                                 ", expected a finite number of at least 0")
                             .c_str(),
                         value_error);
  }
}

TEST_CASE("trainer refuses the checkpoint of another training") {
  const test::temporary_directory folder;
  train::fit_options options{.epochs = 2, .seed = 3, .checkpoint = folder.path() / "run.safetensors"};
  train_once(options);
  const auto refused = [&](auto change) {
    auto other = options;
    change(other);
    CHECK_THROWS_AS(train_once(other), io_error);
  };
  refused([](auto& o) { o.seed = 4; });
  refused([](auto& o) { o.order = train::bag_order::balanced; });
  refused([](auto& o) { o.bags_per_step = 2; });
  refused([](auto& o) { o.clip_norm = 1; });
  refused([](auto& o) { o.best_by = train::criterion::accuracy; });
  CHECK_THROWS_AS(train_once(options, 1, train::step_schedule{}), io_error);
  CHECK_THROWS_AS(train_once(options, 1, train::constant_schedule{}, {.learning_rate = 3e-3, .beta2 = 0.99}), io_error);
  const data::bag_table bags = test::needle_bags(24);
  train::table_dataset training(bags);
  cpu backend{.threads = 1};
  auto weights = fresh_weights();
  const auto before = weights.clone();
  train::trainer decoupled(backend, test::dropping_network(), train::adamw{.learning_rate = 3e-3, .weight_decay = 0});
  CHECK_THROWS_AS(decoupled.fit(weights, training, options), io_error);
  train::trainer weighted(backend, test::dropping_network(), train::adam{.learning_rate = 3e-3},
                          loss::cross_entropy{{1, 2}});
  CHECK_THROWS_AS(weighted.fit(weights, training, options), io_error);
  CHECK(test::same_bits(weights.flat(), before.flat()));
  options.patience = 50;  // these may change
  options.epochs = 3;
  options.restore_best = false;
  CHECK_NOTHROW(train_once(options));
}

TEST_CASE("trainer: disk fills while it saves -> the old checkpoint stays, error reported") {
  const test::temporary_directory folder;
  train::fit_options options{.epochs = 2, .seed = 3, .checkpoint = folder.path() / "run.safetensors"};
  train_once(options);
  const auto content = [&] {
    std::ifstream file(options.checkpoint, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string before = content();
  auto more = options;
  more.epochs = 4;
  {
    const test::full_disk full(2000);
    std::string reported;
    try {
      train_once(more);
    } catch (const io_error& failure) {
      reported = failure.what();
    }
    CHECK(reported.find("run.safetensors: cannot be written: ") != std::string::npos);
  }
  CHECK(content() == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  train::fit_options whole{.epochs = 4, .seed = 3};
  CHECK(same(train_once(more), train_once(whole)));
}

TEST_CASE("trainer: on_epoch is told every epoch, with the rate of the schedule") {
  std::vector<std::int64_t> epochs;
  std::vector<double> rates;
  train_once({.epochs = 3,
              .on_epoch =
                  [&](const train::epoch_report& r) {
                    epochs.push_back(r.epoch);
                    rates.push_back(r.learning_rate);
                    CHECK(r.epochs == 3);
                    REQUIRE(r.validation != nullptr);
                    CHECK(r.validation->labels.size() == 10);
                  }},
             1, train::step_schedule{.factor = 0.1, .period = 2});
  CHECK(epochs == std::vector<std::int64_t>{1, 2, 3});
  CHECK(test::relative_error(rates, std::vector<double>{3e-3, 3e-3, 3e-4}) <= 1e-12);
}
