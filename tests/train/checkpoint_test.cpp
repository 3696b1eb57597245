#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <fstream>

#include <milkit/data/safetensors.hpp>
#include <milkit/nn/linear.hpp>
#include <milkit/nn/sequential.hpp>
#include <milkit/train/checkpoint.hpp>

#include <data/full_disk.hpp>
#include <support/floats.hpp>
#include <support/gradient_check.hpp>
#include <support/paths.hpp>

using namespace milkit;

namespace {

using network = nn::sequential<nn::linear<5, 3>, nn::linear<3, 2>>;
using other_network = nn::sequential<nn::linear<5, 4>, nn::linear<4, 2>, nn::linear<2, 2>>;

template <class T>
train::training_state<T> some_state(std::int64_t size) {
  train::training_state<T> state(size, 2);
  state.epoch = 3;
  state.step = 1234567890123;
  state.best_epoch = 2;
  state.best_score = -0.1;
  state.schedule = {0.25, 4, 5};
  state.history.add({{"loss", 1}, {"learning_rate", 0.1}});
  state.history.add({{"loss", 0.5}, {"odd.name", 7}});
  state.history.add({{"loss", 1.0 / 3}});
  return state;
}
template <class T>
void fill(vector_view<T> values, const std::vector<parameter_entry>& entries, T first) {
  for (const auto& entry : entries)
    for (std::int64_t i = 0; i < entry.size(); ++i)
      values(entry.offset + i) = first + static_cast<T>(entry.offset + i) / T(7);
}
std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

TEST_CASE_TEMPLATE("checkpoint: what was saved comes back bit by bit", T, MILKIT_FLOATS) {
  const test::temporary_directory folder;
  const auto path = folder.path() / "run.safetensors";
  const auto weights = initial_parameters<T>(network{}, {.seed = 1});
  auto state = some_state<T>(weights.flat().extent(0));
  fill(state.best_weights.view(), weights.entries(), T(1));
  fill(state.moments[0].view(), weights.entries(), T(2));
  fill(state.moments[1].view(), weights.entries(), T(3));
  train::save_checkpoint(path, weights, state, "these settings");

  auto read = weights.zeros();
  train::training_state<T> got(weights.flat().extent(0), 2);
  train::load_checkpoint(path, read, got, "these settings");
  CHECK(test::same_bits(read.flat(), weights.flat()));
  CHECK(got.epoch == 3);
  CHECK(got.step == 1234567890123);
  CHECK(got.best_epoch == 2);
  CHECK(got.best_score == -0.1);
  CHECK(got.schedule == state.schedule);
  CHECK(test::same_bits(got.best_weights, state.best_weights));
  for (std::size_t i = 0; i < 2; ++i) CHECK(test::same_bits(got.moments[i], state.moments[i]));
  CHECK(got.history.names() == state.history.names());
  for (const auto& name : state.history.names())
    CHECK(test::same_bits(got.history.column(name), state.history.column(name)));

  auto alone = weights.zeros();
  train::load_weights(path, alone);
  CHECK(test::same_bits(alone.flat(), weights.flat()));
}

TEST_CASE("checkpoint: weights are read by name, from float into double too") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "weights.safetensors";
  const auto weights = initial_parameters<float>(network{}, {.seed = 1});
  train::save_weights(path, weights);
  CHECK(data::safetensors_reader(path).names() == std::vector<std::string>{"0.weight", "0.bias", "1.weight", "1.bias"});
  parameters<network, double> read;
  train::load_weights(path, read);
  CHECK(test::same_bits(read.flat(), weights.flat()));
}

TEST_CASE("checkpoint: another network -> every tensor that differs named, nothing changed") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "run.safetensors";
  const auto weights = initial_parameters<float>(network{}, {.seed = 1});
  train::save_checkpoint(path, weights, some_state<float>(weights.flat().extent(0)), "s");
  auto other = initial_parameters<float>(other_network{}, {.seed = 2});
  const auto before = other.clone();
  train::training_state<float> state(other.flat().extent(0), 2);
  for (const bool whole : {true, false}) {
    std::string reported;
    try {
      if (whole) train::load_checkpoint(path, other, state, "s");
      else train::load_weights(path, other);
    } catch (const io_error& failure) {
      reported = failure.what();
    }
    for (const char* part : {"run.safetensors: does not hold the weights of this network:",
                             "0.weight is [3, 5], expected [4, 5]", "0.bias is [3], expected [4]",
                             "1.weight is [2, 3], expected [2, 4]", "2.weight is missing", "2.bias is missing"}) {
      CAPTURE(reported);
      CHECK(reported.find(part) != std::string::npos);
    }
    CHECK(reported.find("1.bias") == std::string::npos);
  }
  CHECK(test::same_bits(other.flat(), before.flat()));
  CHECK(state.epoch == 0);
}

TEST_CASE("checkpoint: other settings, weights alone, other type, broken file -> refused") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "run.safetensors", broken = folder.path() / "broken.safetensors";
  const auto weights = initial_parameters<float>(network{}, {.seed = 1});
  const std::int64_t size = weights.flat().extent(0);
  train::save_checkpoint(path, weights, some_state<float>(size), "seed 1");
  auto read = weights.clone();
  train::training_state<float> state(size, 2);
  const auto load = [&](const std::filesystem::path& file, const char* settings = "seed 1") {
    train::load_checkpoint(file, read, state, settings);
  };
  CHECK_THROWS_WITH_AS(
      load(path, "seed 2"),
      message(path.string(), ": is the checkpoint of another training\n  it has:   seed 1\n  expected: seed 2").c_str(),
      io_error);
  train::save_weights(broken, weights);
  CHECK_THROWS_WITH_AS(load(broken),
                       message(broken.string(), ": is no milkit checkpoint: it has no \"settings\"").c_str(), io_error);
  CHECK_THROWS_AS(load(folder.path() / "missing.safetensors"), io_error);

  const std::string whole = text_of(path);
  for (std::size_t length = 0; length < whole.size(); length += 1 + whole.size() / 97) {
    write(broken, whole.substr(0, length));
    CHECK_THROWS_AS(load(broken), io_error);
  }
  // A whole file whose counts are no whole numbers.
  data::safetensors_writer odd;
  odd.set_metadata("settings", "seed 1");
  const std::vector<float> values(64);
  const std::vector<double> numbers(4);
  for (const char* prefix : {"", "best.", "moment0.", "moment1."})
    for (const auto& entry : weights.entries())
      odd.add_bytes(prefix + entry.name, data::dtype_of<float>(),
                    {entry.shape.extent, entry.shape.extent + entry.shape.rank}, values.data());
  odd.add("training.progress", vector_view<const double>(numbers.data(), {4}));
  odd.add("training.schedule", vector_view<const double>(numbers.data(), {3}));
  odd.write(broken);
  CHECK_THROWS_AS(load(broken), io_error);
  // A whole file whose counts are out of range.
  const auto refused = [&](std::array<std::int64_t, 4> progress, std::array<double, 3> schedule, const char* sentence) {
    data::safetensors_writer wrong;
    wrong.set_metadata("settings", "seed 1");
    for (const char* prefix : {"", "best.", "moment0.", "moment1."})
      for (const auto& entry : weights.entries())
        wrong.add_bytes(prefix + entry.name, data::dtype_of<float>(),
                        {entry.shape.extent, entry.shape.extent + entry.shape.rank}, values.data());
    wrong.add("training.progress", vector_view<const std::int64_t>(progress.data(), {4}));
    wrong.add("training.schedule", vector_view<const double>(schedule.data(), {3}));
    wrong.write(broken);
    CHECK_THROWS_WITH_AS(load(broken), doctest::Contains(sentence), io_error);
  };
  refused({-1, 0, -1, 0}, {1, 0, 0}, "training.progress says epoch -1");
  refused({2, -5, 1, 0}, {1, 0, 0}, "step -5");
  refused({2, 5, 3, 0}, {1, 0, 0}, "best epoch 3");
  for (const double count : {-1.0, 0.5, 1e300, HUGE_VAL, std::nan("")}) {
    refused({2, 5, 1, 0}, {1, count, 0}, "training.schedule is 1, ");
    refused({2, 5, 1, 0}, {1, 0, count}, "training.schedule is 1, 0, ");
  }
  refused({2, 5, 1, 0}, {std::nan(""), 0, 0}, "training.schedule is nan");
  CHECK(test::same_bits(read.flat(), weights.flat()));
  CHECK(state.epoch == 0);
  CHECK(state.history.epochs() == 0);
}

TEST_CASE("checkpoint: an absurd number of epochs is no reason to work for ages") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "run.safetensors";
  const auto weights = initial_parameters<float>(network{}, {.seed = 1});
  train::training_state<float> state(weights.flat().extent(0), 0);
  state.epoch = std::int64_t{1} << 62;
  train::save_checkpoint(path, weights, state, "s");
  auto read = weights.zeros();
  train::training_state<float> got(weights.flat().extent(0), 0);
  train::load_checkpoint(path, read, got, "s");
  CHECK(got.epoch == std::int64_t{1} << 62);
  CHECK(got.history.epochs() == 0);
}

TEST_CASE("checkpoint: a full disk leaves the old file as it was") {
  const test::temporary_directory folder;
  const auto path = folder.path() / "run.safetensors";
  auto weights = initial_parameters<float>(network{}, {.seed = 1});
  train::save_weights(path, weights);
  const std::string before = text_of(path);
  weights.flat()(0) += 1;
  for (const rlim_t room : {rlim_t{0}, rlim_t{8}, rlim_t{100}, static_cast<rlim_t>(before.size() - 1)}) {
    const test::full_disk full(room);
    CHECK_THROWS_AS(train::save_weights(path, weights), io_error);
    CHECK_THROWS_AS(train::save_checkpoint(path, weights, some_state<float>(weights.flat().extent(0)), "s"), io_error);
  }
  CHECK(text_of(path) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}
