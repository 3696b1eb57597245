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

inline milkit::shape<1> flat_shape(std::int64_t count) { return {count}; }

template <class Network, class T>
void add_weights(data::safetensors_writer& file, const std::string& prefix, const parameters<Network, T>& weights) {
  for (const parameter_entry& entry : weights.entries())
    file.add_bytes(prefix + entry.name, data::dtype_of<T>(), {entry.shape.extent, entry.shape.extent + entry.shape.rank},
                   weights.flat().data() + entry.offset);
}

/// Reads every parameter or throws io_error naming the file and all tensors that are missing or of another shape.
template <class Network, class T>
void read_weights(const data::safetensors_reader& file, const std::string& prefix, parameters<Network, T>& weights) {
  std::string wrong;
  for (const parameter_entry& entry : weights.entries()) {
    const std::string name = prefix + entry.name;
    const std::vector<std::int64_t> want(entry.shape.extent, entry.shape.extent + entry.shape.rank);
    if (!file.contains(name)) wrong += message("\n  ", name, " is missing");
    else if (file.info(name).shape != want)
      wrong += message("\n  ", name, " is ", data::to_string(file.info(name).shape), ", expected ", data::to_string(want));
  }
  if (!wrong.empty()) throw io_error(message(file.name(), ": does not hold the weights of this network:", wrong));
  for (const parameter_entry& entry : weights.entries()) {
    const auto values = file.read<T>(prefix + entry.name, data::conversion::nearest);
    std::copy(values.values.begin(), values.values.end(), weights.flat().data() + entry.offset);
  }
}

}  // namespace detail

/// Writes the weights of a network as one safetensors file, one tensor a parameter under its name, atomically: a full disk
/// or a kill leaves the old file as it was. Errors: io_error.
template <class Network, class T>
void save_weights(const std::filesystem::path& path, const parameters<Network, T>& weights) {
  data::safetensors_writer file;
  file.set_metadata("format", "milkit weights");
  detail::add_weights(file, "", weights);
  file.write(path);
}

/// Reads weights by name, from a file of `save_weights` or from any other whose tensors have these names and shapes (a
/// checkpoint too); other tensors are ignored. Errors: io_error naming every tensor that is missing or misshapen; `weights`
/// is then as it was.
template <class Network, class T>
void load_weights(const std::filesystem::path& path, parameters<Network, T>& weights) {
  detail::read_weights(data::safetensors_reader(path), "", weights);
}

/// Everything that a training needs to go on as if it had not been stopped: where it is, the weights, the optimizer's
/// moments, the best weights so far, the schedule and the figures. The random numbers need no state: they are a function of
/// seed and step.
template <class Network, class T, int Moments>
struct training_state {
  explicit training_state(const parameters<Network, T>& weights) : best_weights(weights.clone()) {
    for (int i = 0; i < Moments; ++i) moments.push_back(weights.zeros());
  }

  std::int64_t epoch = 0;  ///< finished ones
  std::int64_t step = 0;   ///< updates of the weights so far
  std::int64_t best_epoch = -1;
  double best_score = 0;
  schedule_state schedule;
  parameters<Network, T> best_weights;
  std::vector<parameters<Network, T>> moments;
  train::history history;
};

/// Writes a training's state and weights as one safetensors file, atomically. `settings` says what the training is (seed,
/// optimizer, ...): `load_checkpoint` refuses to go on with others.
template <class Network, class T, int Moments>
void save_checkpoint(const std::filesystem::path& path, const parameters<Network, T>& weights,
                     const training_state<Network, T, Moments>& state, const std::string& settings) {
  data::safetensors_writer file;
  file.set_metadata("format", "milkit checkpoint");
  file.set_metadata("milkit", message(MILKIT_VERSION_MAJOR, ".", MILKIT_VERSION_MINOR, ".", MILKIT_VERSION_PATCH));
  file.set_metadata("settings", settings);
  detail::add_weights(file, "", weights);
  detail::add_weights(file, "best.", state.best_weights);
  for (std::size_t i = 0; i < state.moments.size(); ++i) detail::add_weights(file, message("moment", i, "."), state.moments[i]);
  const std::array<std::int64_t, 4> progress = {state.epoch, state.step, state.best_epoch, std::bit_cast<std::int64_t>(state.best_score)};
  file.add("training.progress", vector_view<const std::int64_t>(progress.data(), {4}));
  const std::array<double, 3> schedule = state.schedule.to_doubles();
  file.add("training.schedule", vector_view<const double>(schedule.data(), {3}));
  std::vector<std::vector<double>> columns;
  for (const std::string& name : state.history.names()) columns.push_back(state.history.column(name));
  std::size_t i = 0;
  for (const std::string& name : state.history.names()) {
    file.add(message("history.", i, ".", name), vector_view<const double>(columns[i].data(), {state.history.epochs()}));
    ++i;
  }
  file.write(path);
}

/// Reads what `save_checkpoint` wrote. Errors: io_error for a file that is none, that holds another network, or whose
/// settings differ (both are named); weights and state are then as they were.
template <class Network, class T, int Moments>
void load_checkpoint(const std::filesystem::path& path, parameters<Network, T>& weights, training_state<Network, T, Moments>& state,
                     const std::string& settings) {
  const data::safetensors_reader file(path);
  const auto stored = file.metadata().find("settings");
  if (stored == file.metadata().end()) throw io_error(message(file.name(), ": is no milkit checkpoint: it has no \"settings\""));
  if (stored->second != settings)
    throw io_error(message(file.name(), ": is the checkpoint of another training\n  it has:   ", stored->second, "\n  expected: ", settings));
  parameters<Network, T> new_weights = weights.zeros();
  training_state<Network, T, Moments> fresh(new_weights);
  detail::read_weights(file, "", new_weights);
  detail::read_weights(file, "best.", fresh.best_weights);
  for (std::size_t i = 0; i < fresh.moments.size(); ++i) detail::read_weights(file, message("moment", i, "."), fresh.moments[i]);
  const auto progress = file.read<std::int64_t, 1>("training.progress");
  const auto schedule = file.read<double, 1>("training.schedule");
  if (progress.size() != 4 || schedule.size() != 3)
    throw io_error(message(file.name(), ": training.progress has ", progress.size(), " entries and training.schedule ",
                           schedule.size(), ", expected 4 and 3"));
  fresh.epoch = progress.data()[0];
  fresh.step = progress.data()[1];
  fresh.best_epoch = progress.data()[2];
  fresh.best_score = std::bit_cast<double>(progress.data()[3]);
  fresh.schedule = schedule_state::from_doubles({schedule.data()[0], schedule.data()[1], schedule.data()[2]});

  std::vector<std::pair<std::string, std::vector<double>>> columns;
  for (const std::string& name : file.names()) {
    if (name.rfind("history.", 0) != 0) continue;
    const std::size_t dot = name.find('.', 8);
    std::size_t index = 0;
    std::from_chars(name.data() + 8, name.data() + name.size(), index);
    if (dot == std::string::npos || index > 1000) throw io_error(message(file.name(), ": unexpected tensor \"", name, "\""));
    if (columns.size() <= index) columns.resize(index + 1);
    columns[index] = {name.substr(dot + 1), file.read<double>(name).values};
    if (static_cast<std::int64_t>(columns[index].second.size()) != fresh.epoch)
      throw io_error(message(file.name(), ": ", name, " has ", columns[index].second.size(), " entries, expected ", fresh.epoch));
  }
  for (std::int64_t epoch = 0; epoch < fresh.epoch; ++epoch) {
    std::vector<metric> figures;
    for (const auto& [name, values] : columns) figures.push_back({name, values[static_cast<std::size_t>(epoch)]});
    fresh.history.add(figures);
  }
  std::copy_n(new_weights.flat().data(), weights.flat().extent(0), weights.flat().data());
  state = std::move(fresh);
}

}  // namespace milkit::train
