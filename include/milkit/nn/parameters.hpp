#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <milkit/core/cpu.hpp>
#include <milkit/core/tensor.hpp>
#include <milkit/nn/layer.hpp>

namespace milkit {

/// Where a named parameter lies in the flat buffer, and what it is for.
struct parameter_entry {
  std::string name;  ///< as in PyTorch: "encoder.0.weight"
  dims shape;
  std::int64_t offset = 0;
  role what = role::weight;
  std::int64_t fan_in = 1, fan_out = 1;
  init scheme = init::torch;
  double rate = 1;  ///< times the optimizer's, those of all parents included; 0: frozen

  std::int64_t size() const { return shape.size(); }
};

namespace detail {
class parameter_collector : public parameter_list<parameter_collector> {
 public:
  template <class Layer>
  parameter_collector(const Layer& layer, std::vector<parameter_entry>& entries, std::string prefix = "",
                      std::int64_t offset = 0, double rate = 1)
      : entries_(entries), prefix_(std::move(prefix)), offset_(offset), rate_(rate) {
    listed(layer, *this);
  }

 private:
  friend parameter_list;
  template <int Rank>
  nothing place(names_type names, const shape<Rank>& s, const parameter_options& options) {
    std::int64_t window = 1;
    for (int i = 2; i < Rank; ++i) window *= s[i];
    const std::int64_t in = s[Rank > 1 ? 1 : 0] * window, out = s[0] * window;
    for (const parameter_name& each : names)
      if (each.exists)
        entries_.push_back({prefix_ + each.name, s, offset_ + take(s.size()), options.what,
                            options.fan_in > 0 ? options.fan_in : in, options.fan_out > 0 ? options.fan_out : out,
                            options.scheme, rate_ * options.rate});
    return {};
  }
  template <class Layer>
  nothing place_child(const char* name, const Layer& layer, double rate) {
    const std::int64_t first = take_child(parameter_stretch(layer));
    parameter_collector(layer, entries_, *name == '\0' ? prefix_ : prefix_ + name + ".", offset_ + first, rate_ * rate);
    return {};
  }

  std::vector<parameter_entry>& entries_;
  std::string prefix_;
  std::int64_t offset_;
  double rate_;
};
}  // namespace detail

/// Every parameter of a network by name, in the order in which it lies in the flat buffer.
template <class Network>
std::vector<parameter_entry> parameter_entries(const Network& network) {
  std::vector<parameter_entry> entries;
  detail::parameter_collector(network, entries);
  return entries;
}

/// The weights of a network, or anything that is shaped like them (a gradient, an optimizer's moment, a momentum
/// teacher): one flat, aligned buffer with named views into it. Move-only; `clone()` copies. Starts as zeros.
template <class Network, class T, class Space = host_space>
class parameters {
 public:
  using network_type = Network;
  using value_type = T;

  explicit parameters(const Network& network = {})
      : entries_(parameter_entries(network)),
        values_(shape<1>{parameter_stretch(network)}),
        count_(parameter_count(network)) {}

  /// All of it as one vector; the gaps that align layers are zeros and stay zeros.
  vector_view<T, Space> flat() { return values_.view(); }
  vector_view<const T, Space> flat() const { return values_.view(); }

  const std::vector<parameter_entry>& entries() const { return entries_; }
  /// Trainable parameters, as papers count them (without the gaps and statistics).
  std::int64_t count() const { return count_; }
  std::size_t bytes() const { return static_cast<std::size_t>(values_.size()) * sizeof(T); }

  /// One parameter as a vector. Errors: value_error for a name that the network does not have, with those it has.
  vector_view<T, Space> operator[](const std::string& name) { return at(flat(), name); }
  vector_view<const T, Space> operator[](const std::string& name) const { return at(flat(), name); }

  parameters clone() const { return to<Space>(); }
  /// A copy in a space of your choice: `weights.to<device_space>()`.
  template <class Other>
  parameters<Network, T, Other> to() const {
    return {entries_, values_.template to<Other>(), count_};
  }
  /// The same layout, all zeros: a gradient or a moment.
  parameters zeros() const { return {entries_, tensor<T, 1, Space>(shape<1>{values_.size()}), count_}; }

 private:
  template <class, class, class>
  friend class parameters;
  parameters(std::vector<parameter_entry> entries, tensor<T, 1, Space> values, std::int64_t count)
      : entries_(std::move(entries)), values_(std::move(values)), count_(count) {}

  template <class Flat>
  Flat at(Flat all, const std::string& name) const {
    std::string known;
    for (const auto& entry : entries_) {
      if (entry.name == name) return all.rows(entry.offset, entry.size());
      known += " " + entry.name;
    }
    throw value_error(message("milkit::parameters: no parameter is named \"", name, "\"; there are:", known));
  }

  std::vector<parameter_entry> entries_;
  tensor<T, 1, Space> values_;
  std::int64_t count_ = 0;
};

struct initial_options {
  std::uint64_t seed = 0;
};

namespace detail {

/// One initial value; `i` counts the network's parameters, so that an initial weight is a function of seed and place
/// alone.
inline double initial_value(const parameter_entry& p, const random_stream& stream, std::int64_t index, std::int64_t i) {
  using kind = init::kind;
  if (p.scheme.what == kind::constant) return p.scheme.value;
  if (p.what == role::scale) return 1;
  if (p.what == role::shift || (p.what == role::bias && p.scheme.what != kind::torch)) return 0;
  const auto instance = static_cast<std::uint64_t>(index), draw = static_cast<std::uint64_t>(i);
  const auto in = static_cast<double>(p.fan_in), out = static_cast<double>(p.fan_out);
  const auto uniform = [&](double bound) { return bound * (2 * stream.uniform<double>(instance, draw) - 1); };
  switch (p.scheme.what) {
    case kind::torch:
      return uniform(1 / std::sqrt(in));
    case kind::xavier_uniform:
      return uniform(std::sqrt(6 / (in + out)));
    case kind::xavier_normal:
      return std::sqrt(2 / (in + out)) * stream.normal<double>(instance, draw);
    case kind::kaiming_uniform:
      return uniform(std::sqrt(6 / in));
    case kind::kaiming_normal:
      return std::sqrt(2 / in) * stream.normal<double>(instance, draw);
    case kind::normal:
      return p.scheme.value * stream.normal<double>(instance, draw);
    case kind::constant:
      break;
  }
  return 0;
}

}  // namespace detail

/// Fresh weights: each layer's initialiser with counter-based random numbers of `seed`, so that the same seed gives the
/// same weights everywhere, in float the rounded ones of double. Made on the host.
template <class T, class Network>
parameters<Network, T> initial_parameters(const Network& network, const initial_options& options = {}) {
  parameters<Network, T> weights(network);
  const random_stream stream(options.seed, 0, 0x696E6974);
  std::int64_t index = 0;
  for (const auto& entry : weights.entries()) {
    T* values = weights.flat().data() + entry.offset;
    for (std::int64_t i = 0; i < entry.size(); ++i)
      values[i] = static_cast<T>(detail::initial_value(entry, stream, index, i));
    ++index;
  }
  return weights;
}
/// The same where a backend works: `initial_parameters<float>(gpu, network, {.seed = 1})`.
template <class T, backend Backend, class Network>
parameters<Network, T, typename Backend::space> initial_parameters(Backend&, const Network& network,
                                                                   const initial_options& options = {}) {
  auto weights = initial_parameters<T>(network, options);
  if constexpr (is_cpu<Backend>) return weights;
  else return weights.template to<typename Backend::space>();
}
/// The same for a network whose dimensions are all in its type.
template <class Network, class T, backend Backend>
parameters<Network, T, typename Backend::space> initial_parameters(Backend& backend,
                                                                   const initial_options& options = {}) {
  return initial_parameters<T>(backend, Network{}, options);
}

}  // namespace milkit
