#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/data/dtype.hpp>
#include <milkit/nn/parameters.hpp>
#include <milkit/train/fit_loop.hpp>

namespace milkit::train {

namespace detail {

/// One flat buffer of a network's layout in the host's memory, float or double: the tensors of a file named prefix + name.
struct flat_buffer {
  std::string prefix;
  data::dtype type = data::dtype::f32;
  void* values = nullptr;

  template <class T>
  static flat_buffer of(std::string prefix, vector_view<T> flat) {
    using value = std::remove_const_t<T>;
    return {std::move(prefix), data::dtype_of<value>(), const_cast<value*>(flat.data())};
  }
};

using entry_list = std::vector<parameter_entry>;

MILKIT_INLINE void write_weights(const std::filesystem::path& path, const entry_list& entries,
                                 const flat_buffer& weights);
MILKIT_INLINE void read_weights(const std::filesystem::path& path, const entry_list& entries,
                                const flat_buffer& weights);
MILKIT_INLINE void write_checkpoint(const std::filesystem::path& path, const entry_list& entries,
                                    std::span<const flat_buffer> buffers, const training_progress& progress,
                                    const std::string& settings);
/// Fills the buffers; nothing may be used of them where it throws.
MILKIT_INLINE training_progress read_checkpoint(const std::filesystem::path& path, const entry_list& entries,
                                                std::span<const flat_buffer> buffers, const std::string& settings);

}  // namespace detail

/// Writes the weights of a network as one safetensors file, one tensor a parameter under its name, atomically: a full
/// disk or a kill leaves the old file as it was. Errors: io_error.
template <class Network, class T, class Space>
void save_weights(const std::filesystem::path& path, const parameters<Network, T, Space>& weights) {
  if constexpr (!std::is_same_v<Space, host_space>) save_weights(path, weights.template to<host_space>());
  else detail::write_weights(path, weights.entries(), detail::flat_buffer::of("", weights.flat()));
}

/// Reads weights by name, from a file of `save_weights` or from any other whose tensors have these names and shapes (a
/// checkpoint too); other tensors are ignored. Errors: io_error naming every tensor that is missing or misshapen;
/// `weights` is then as it was.
template <class Network, class T, class Space>
void load_weights(const std::filesystem::path& path, parameters<Network, T, Space>& weights) {
  tensor<T, 1> fresh(shape<1>{weights.flat().extent(0)});
  detail::read_weights(path, weights.entries(), detail::flat_buffer::of("", fresh.view()));
  copy_bytes(fresh.view(), weights.flat());
}

/// Everything that a training needs to go on as if it had not been stopped: where it is, the weights, the optimizer's
/// moments, the best weights so far, the schedule and the figures. The random numbers need no state: they are a
/// function of seed and step.
template <class T, class Space = host_space>
struct training_state : training_progress {
  training_state() = default;
  training_state(std::int64_t size, int moment_count) : best_weights(shape<1>{size}) {
    for (int i = 0; i < moment_count; ++i) moments.emplace_back(shape<1>{size});
  }

  template <class Other>
  training_state<T, Other> to() const {
    training_state<T, Other> copy;
    static_cast<training_progress&>(copy) = *this;
    copy.best_weights = best_weights.template to<Other>();
    for (const auto& each : moments) copy.moments.push_back(each.template to<Other>());
    return copy;
  }

  tensor<T, 1, Space> best_weights;  ///< flat, as the weights
  std::vector<tensor<T, 1, Space>> moments;
};

namespace detail {

/// The buffers of a checkpoint, in the order of the file.
template <class T>
std::vector<flat_buffer> buffers_of(vector_view<T> weights, const training_state<std::remove_const_t<T>>& state) {
  std::vector<flat_buffer> all = {flat_buffer::of("", weights), flat_buffer::of("best.", state.best_weights.view())};
  for (std::size_t i = 0; i < state.moments.size(); ++i)
    all.push_back(flat_buffer::of(message("moment", i, "."), state.moments[i].view()));
  return all;
}

}  // namespace detail

/// Writes a training's weights and state as one safetensors file, atomically. `settings`
/// says what the training is (seed, optimizer, ...): `load_checkpoint` refuses to go on with others. `load_weights`
/// reads the file too. Errors: io_error; the old file is then as it was.
template <class Network, class T>
void save_checkpoint(const std::filesystem::path& path, const parameters<Network, T>& weights,
                     const training_state<T>& state, const std::string& settings) {
  detail::write_checkpoint(path, weights.entries(), detail::buffers_of(weights.flat(), state), state, settings);
}
/// The same from another memory space, by way of a copy on the host.
template <class Network, class T, class Space>
void save_checkpoint(const std::filesystem::path& path, const parameters<Network, T, Space>& weights,
                     const training_state<T, Space>& state, const std::string& settings) {
  save_checkpoint(path, weights.template to<host_space>(), state.template to<host_space>(), settings);
}

/// Reads what `save_checkpoint` wrote. Errors: io_error for a file that is none, that holds another network, or whose
/// settings differ (both are named); weights and state are then as they were.
template <class Network, class T, class Space>
void load_checkpoint(const std::filesystem::path& path, parameters<Network, T, Space>& weights,
                     training_state<T, Space>& state, const std::string& settings) {
  const std::int64_t size = weights.flat().extent(0);
  training_state<T> fresh(size, static_cast<int>(state.moments.size()));
  tensor<T, 1> fresh_weights(shape<1>{size});
  static_cast<training_progress&>(fresh) =
      detail::read_checkpoint(path, weights.entries(), detail::buffers_of(fresh_weights.view(), fresh), settings);
  training_state<T, Space> arrived = fresh.template to<Space>();
  copy_bytes(fresh_weights.view(), weights.flat());
  state = std::move(arrived);
}

}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/checkpoint.ipp>
#endif
