#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <filesystem>
#include <string>
#include <vector>

#include <milkit/data/safetensors.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/train/history.hpp>
#include <milkit/train/schedule.hpp>
#include <milkit/version.hpp>

namespace milkit::train {

namespace detail {

using entry_list = std::vector<parameter_entry>;

template <class T>
void add_weights(data::safetensors_writer& file, const std::string& prefix, const entry_list& entries,
                 vector_view<const T> flat) {
  for (const parameter_entry& entry : entries)
    file.add_bytes(prefix + entry.name, data::dtype_of<T>(),
                   {entry.shape.extent, entry.shape.extent + entry.shape.rank}, flat.data() + entry.offset);
}

/// Throws io_error naming the file and all tensors that are missing or of another shape.
inline void expect_weights(const data::safetensors_reader& file, const std::string& prefix, const entry_list& entries) {
  std::string wrong;
  for (const parameter_entry& entry : entries) {
    const std::string name = prefix + entry.name;
    const std::vector<std::int64_t> want(entry.shape.extent, entry.shape.extent + entry.shape.rank);
    if (!file.contains(name)) wrong += message("\n  ", name, " is missing");
    else if (file.info(name).shape != want)
      wrong +=
          message("\n  ", name, " is ", data::to_string(file.info(name).shape), ", expected ", data::to_string(want));
  }
  if (!wrong.empty()) throw io_error(message(file.name(), ": does not hold the weights of this network:", wrong));
}

template <class T>
tensor<T, 1> read_weights(const data::safetensors_reader& file, const std::string& prefix, const entry_list& entries,
                          std::int64_t size) {
  tensor<T, 1> flat(shape<1>{size});
  for (const parameter_entry& entry : entries) {
    const auto values = file.read<T>(prefix + entry.name, data::conversion::nearest);
    std::copy(values.values.begin(), values.values.end(), flat.data() + entry.offset);
  }
  return flat;
}

}  // namespace detail

/// Writes the weights of a network as one safetensors file, one tensor a parameter under its name, atomically: a full
/// disk or a kill leaves the old file as it was. Errors: io_error.
template <class Network, class T, class Space>
void save_weights(const std::filesystem::path& path, const parameters<Network, T, Space>& weights) {
  if constexpr (!std::is_same_v<Space, host_space>) {
    save_weights(path, weights.template to<host_space>());
  } else {
    data::safetensors_writer file;
    file.set_metadata("format", "milkit weights");
    detail::add_weights<T>(file, "", weights.entries(), weights.flat());
    file.write(path);
  }
}

/// Reads weights by name, from a file of `save_weights` or from any other whose tensors have these names and shapes (a
/// checkpoint too); other tensors are ignored. Errors: io_error naming every tensor that is missing or misshapen;
/// `weights` is then as it was.
template <class Network, class T, class Space>
void load_weights(const std::filesystem::path& path, parameters<Network, T, Space>& weights) {
  const data::safetensors_reader file(path);
  detail::expect_weights(file, "", weights.entries());
  const tensor<T, 1> fresh = detail::read_weights<T>(file, "", weights.entries(), weights.flat().extent(0));
  copy_bytes(fresh.view(), weights.flat());
}

/// Everything that a training needs to go on as if it had not been stopped: where it is, the weights, the optimizer's
/// moments, the best weights so far, the schedule and the figures. The random numbers need no state: they are a
/// function of seed and step.
template <class T, class Space = host_space>
struct training_state {
  training_state() = default;
  training_state(std::int64_t size, int moment_count) : best_weights(shape<1>{size}) {
    for (int i = 0; i < moment_count; ++i) moments.emplace_back(shape<1>{size});
  }

  template <class Other>
  training_state<T, Other> to() const {
    training_state<T, Other> copy;
    copy.epoch = epoch, copy.step = step, copy.best_epoch = best_epoch, copy.best_score = best_score;
    copy.schedule = schedule, copy.history = history;
    copy.best_weights = best_weights.template to<Other>();
    for (const auto& each : moments) copy.moments.push_back(each.template to<Other>());
    return copy;
  }

  std::int64_t epoch = 0;  ///< finished ones
  std::int64_t step = 0;   ///< updates of the weights so far
  std::int64_t best_epoch = -1;
  double best_score = 0;
  schedule_state schedule;
  tensor<T, 1, Space> best_weights;  ///< flat, as the weights
  std::vector<tensor<T, 1, Space>> moments;
  train::history history;
};

/// Writes a training's weights and state as one safetensors file, atomically. `settings`
/// says what the training is (seed, optimizer, ...): `load_checkpoint` refuses to go on with others. `load_weights`
/// reads the file too. Errors: io_error; the old file is then as it was.
template <class Network, class T>
void save_checkpoint(const std::filesystem::path& path, const parameters<Network, T>& weights,
                     const training_state<T>& state, const std::string& settings) {
  const auto& entries = weights.entries();
  data::safetensors_writer file;
  file.set_metadata("format", "milkit checkpoint");
  file.set_metadata("milkit", message(MILKIT_VERSION_MAJOR, ".", MILKIT_VERSION_MINOR, ".", MILKIT_VERSION_PATCH));
  file.set_metadata("settings", settings);
  detail::add_weights<T>(file, "", entries, weights.flat());
  detail::add_weights<T>(file, "best.", entries, state.best_weights.view());
  for (std::size_t i = 0; i < state.moments.size(); ++i)
    detail::add_weights<T>(file, message("moment", i, "."), entries, state.moments[i].view());
  const std::array<std::int64_t, 4> progress = {state.epoch, state.step, state.best_epoch,
                                                std::bit_cast<std::int64_t>(state.best_score)};
  file.add("training.progress", vector_view<const std::int64_t>(progress.data(), {4}));
  const std::array<double, 3> schedule = state.schedule.to_doubles();
  file.add("training.schedule", vector_view<const double>(schedule.data(), {3}));
  const std::vector<std::string> names = state.history.names();
  for (std::size_t i = 0; i < names.size(); ++i)
    file.add(message("history.", i, ".", names[i]),
             vector_view<const double>(state.history.column(names[i]).data(), {state.history.epochs()}));
  file.write(path);
}
/// The same from another memory space, by way of a copy on the host.
template <class Network, class T, class Space>
void save_checkpoint(const std::filesystem::path& path, const parameters<Network, T, Space>& weights,
                     const training_state<T, Space>& state, const std::string& settings) {
  save_checkpoint(path, weights.template to<host_space>(), state.template to<host_space>(), settings);
}

namespace detail {

/// The columns `history.<place>.<name>` of a checkpoint.
inline history read_history(const data::safetensors_reader& file, std::int64_t epochs) {
  struct column {
    std::string name;
    std::vector<double> values;
  };
  std::vector<column> columns;
  const std::vector<std::string> names = file.names();
  for (const std::string& name : names) {
    constexpr std::string_view prefix = "history.";
    if (!name.starts_with(prefix)) continue;
    std::int64_t place = -1;
    const auto parsed = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), place);
    auto values = file.read<double>(name).values;
    if (place < 0 || place >= static_cast<std::int64_t>(names.size()) || *parsed.ptr != '.' ||
        static_cast<std::int64_t>(values.size()) != epochs)
      throw io_error(message(file.name(), ": ", name, " has ", values.size(), " entries, expected ", epochs));
    if (place >= static_cast<std::int64_t>(columns.size())) columns.resize(static_cast<std::size_t>(place) + 1);
    columns[static_cast<std::size_t>(place)] = {std::string(parsed.ptr + 1), std::move(values)};
  }
  history all;
  for (std::int64_t epoch = 0; epoch < epochs && !columns.empty(); ++epoch) {
    std::vector<metric> figures;
    for (const column& each : columns)
      if (!each.values.empty()) figures.push_back({each.name, each.values[static_cast<std::size_t>(epoch)]});
    all.add(figures);
  }
  return all;
}

}  // namespace detail

/// Reads what `save_checkpoint` wrote. Errors: io_error for a file that is none, that holds another network, or whose
/// settings differ (both are named); weights and state are then as they were.
template <class Network, class T, class Space>
void load_checkpoint(const std::filesystem::path& path, parameters<Network, T, Space>& weights,
                     training_state<T, Space>& state, const std::string& settings) {
  const auto& entries = weights.entries();
  const std::int64_t size = weights.flat().extent(0);
  const data::safetensors_reader file(path);
  const auto stored = file.metadata().find("settings");
  if (stored == file.metadata().end())
    throw io_error(message(file.name(), ": is no milkit checkpoint: it has no \"settings\""));
  if (stored->second != settings)
    throw io_error(message(file.name(), ": is the checkpoint of another training\n  it has:   ", stored->second,
                           "\n  expected: ", settings));
  training_state<T> fresh(size, static_cast<int>(state.moments.size()));
  detail::expect_weights(file, "", entries);
  detail::expect_weights(file, "best.", entries);
  for (std::size_t i = 0; i < fresh.moments.size(); ++i)
    detail::expect_weights(file, message("moment", i, "."), entries);
  const auto progress = file.read<std::int64_t, 1>("training.progress");
  const auto schedule = file.read<double, 1>("training.schedule");
  if (progress.size() != 4 || schedule.size() != 3 || progress.data()[0] < 0)
    throw io_error(message(file.name(), ": training.progress has ", progress.size(), " entries and training.schedule ",
                           schedule.size(), ", expected 4 (from 0) and 3"));
  fresh.epoch = progress.data()[0];
  fresh.step = progress.data()[1];
  fresh.best_epoch = progress.data()[2];
  fresh.best_score = std::bit_cast<double>(progress.data()[3]);
  fresh.schedule = schedule_state::from_doubles({schedule.data()[0], schedule.data()[1], schedule.data()[2]});
  fresh.history = detail::read_history(file, fresh.epoch);
  fresh.best_weights = detail::read_weights<T>(file, "best.", entries, size);
  for (std::size_t i = 0; i < fresh.moments.size(); ++i)
    fresh.moments[i] = detail::read_weights<T>(file, message("moment", i, "."), entries, size);
  const tensor<T, 1> fresh_weights = detail::read_weights<T>(file, "", entries, size);
  training_state<T, Space> arrived = fresh.template to<Space>();
  copy_bytes(fresh_weights.view(), weights.flat());
  state = std::move(arrived);
}

}  // namespace milkit::train
