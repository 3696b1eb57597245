#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>

#include <milkit/data/safetensors.hpp>
#include <milkit/train/checkpoint.hpp>
#include <milkit/version.hpp>

namespace milkit::train::detail {

MILKIT_INLINE void add_buffer(data::safetensors_writer& file, const entry_list& entries, const flat_buffer& buffer) {
  const auto size = static_cast<std::size_t>(data::traits_of(buffer.type).bytes);
  for (const parameter_entry& entry : entries)
    file.add_bytes(buffer.prefix + entry.name, buffer.type, {entry.shape.extent, entry.shape.extent + entry.shape.rank},
                   static_cast<const char*>(buffer.values) + static_cast<std::size_t>(entry.offset) * size);
}

template <class T>
void fill_buffer(const data::safetensors_reader& file, const entry_list& entries, const flat_buffer& buffer) {
  for (const parameter_entry& entry : entries) {
    const auto values = file.read<T>(buffer.prefix + entry.name, data::conversion::nearest);
    std::copy(values.values.begin(), values.values.end(), static_cast<T*>(buffer.values) + entry.offset);
  }
}
MILKIT_INLINE void fill_buffer(const data::safetensors_reader& file, const entry_list& entries,
                               const flat_buffer& buffer) {
  if (buffer.type == data::dtype::f64) fill_buffer<double>(file, entries, buffer);
  else fill_buffer<float>(file, entries, buffer);
}

/// Throws io_error naming the file and all tensors that are missing or of another shape.
MILKIT_INLINE void expect_weights(const data::safetensors_reader& file, const std::string& prefix,
                                  const entry_list& entries) {
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

/// The columns `history.<place>.<name>` of a checkpoint.
MILKIT_INLINE history read_history(const data::safetensors_reader& file, std::int64_t epochs) {
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

MILKIT_INLINE void write_weights(const std::filesystem::path& path, const entry_list& entries,
                                 const flat_buffer& weights) {
  data::safetensors_writer file;
  file.set_metadata("format", "milkit weights");
  add_buffer(file, entries, weights);
  file.write(path);
}

MILKIT_INLINE void read_weights(const std::filesystem::path& path, const entry_list& entries,
                                const flat_buffer& weights) {
  const data::safetensors_reader file(path);
  expect_weights(file, weights.prefix, entries);
  fill_buffer(file, entries, weights);
}

MILKIT_INLINE void write_checkpoint(const std::filesystem::path& path, const entry_list& entries,
                                    std::span<const flat_buffer> buffers, const training_progress& state,
                                    const std::string& settings) {
  data::safetensors_writer file;
  file.set_metadata("format", "milkit checkpoint");
  file.set_metadata("milkit", message(MILKIT_VERSION_MAJOR, ".", MILKIT_VERSION_MINOR, ".", MILKIT_VERSION_PATCH));
  file.set_metadata("settings", settings);
  for (const flat_buffer& each : buffers) add_buffer(file, entries, each);
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

/// Whether a double is a whole number that a counter can be; NaN is none.
MILKIT_INLINE bool is_count(double value) { return value >= 0 && value <= 1e15 && value == std::floor(value); }

MILKIT_INLINE training_progress read_checkpoint(const std::filesystem::path& path, const entry_list& entries,
                                                std::span<const flat_buffer> buffers, const std::string& settings) {
  const data::safetensors_reader file(path);
  const auto stored = file.metadata().find("settings");
  if (stored == file.metadata().end())
    throw io_error(message(file.name(), ": is no milkit checkpoint: it has no \"settings\""));
  if (stored->second != settings)
    throw io_error(message(file.name(), ": is the checkpoint of another training\n  it has:   ", stored->second,
                           "\n  expected: ", settings));
  for (const flat_buffer& each : buffers) expect_weights(file, each.prefix, entries);
  const auto progress = file.read<std::int64_t, 1>("training.progress");
  const auto schedule = file.read<double, 1>("training.schedule");
  if (progress.size() != 4 || schedule.size() != 3)
    throw io_error(message(file.name(), ": training.progress has ", progress.size(), " entries and training.schedule ",
                           schedule.size(), ", expected 4 and 3"));
  const std::int64_t epoch = progress.data()[0], step = progress.data()[1], best_epoch = progress.data()[2];
  if (epoch < 0 || step < 0 || best_epoch < -1 || best_epoch > epoch)
    throw io_error(message(file.name(), ": training.progress says epoch ", epoch, ", step ", step, " and best epoch ",
                           best_epoch, ", expected 0 or more, and a best epoch from -1 to the epoch"));
  if (std::isnan(schedule.data()[0]) || !is_count(schedule.data()[1]) || !is_count(schedule.data()[2]))
    throw io_error(message(file.name(), ": training.schedule is ", schedule.data()[0], ", ", schedule.data()[1], ", ",
                           schedule.data()[2], ", expected a number and two whole ones from 0 on"));
  training_progress state;
  state.epoch = epoch, state.step = step, state.best_epoch = best_epoch;
  state.best_score = std::bit_cast<double>(progress.data()[3]);
  state.schedule = schedule_state::from_doubles({schedule.data()[0], schedule.data()[1], schedule.data()[2]});
  state.history = read_history(file, state.epoch);
  for (const flat_buffer& each : buffers) fill_buffer(file, entries, each);
  return state;
}

}  // namespace milkit::train::detail
