#pragma once

#include <string>
#include <utility>

#include <milkit/core/backend.hpp>
#include <milkit/core/parallel_for.hpp>

/// Where the instances of bags come from. A source has
///
///     using value_type = ...; static constexpr int rank = ...;
///     milkit::shape<rank> shape() const;     // of all instances: rows first
///     view read(Backend&, row_range) const;  // those rows, in memory of the source or of backend.kept_memory()
///
/// `read` may be called by several threads at once, each with its own backend. A view in memory is `bag_view`; a file
/// of features that does not fit into memory is data::safetensors_source (data/bag_source.hpp).
namespace milkit {

template <class S, class Backend>
concept instance_source = requires(const S s, Backend& backend) {
  typename S::value_type;
  { s.shape() } -> std::same_as<shape<S::rank>>;
  { s.read(backend, row_range{}).shape() } -> std::convertible_to<shape<S::rank>>;
};

/// Instances in memory, [n, d] or images [n, channels, height, width]. Those of the host stream to a GPU chunk by
/// chunk, so that a bag may be larger than its memory.
template <class T, int Rank, class Space = host_space>
struct bag_view {
  using value_type = T;
  static constexpr int rank = Rank;

  view<const T, Rank, Space> instances;

  milkit::shape<Rank> shape() const { return instances.shape(); }
  template <class Backend>
  requires(std::is_same_v<Space, typename Backend::space> || std::is_same_v<Space, host_space>)
      view<const T, Rank, typename Backend::space> read([[maybe_unused]] Backend& backend, row_range rows)
  const {
    const auto own = instances.rows(rows.first, rows.count);
    if constexpr (std::is_same_v<Space, typename Backend::space>) return own;
    else return resident(backend, own);
  }
};
template <class T, int Rank, class Space>
bag_view(view<T, Rank, Space>) -> bag_view<std::remove_const_t<T>, Rank, Space>;

/// Bags one behind the other in one source: bag b owns the rows offsets[b] .. offsets[b + 1] - 1. Without offsets it is
/// one bag. Copies are cheap, but views: source and offsets must outlive them.
template <class Source>
class bag_batch {
 public:
  explicit bag_batch(Source source) : source_(std::move(source)), one_{0, source_.shape()[0]} {}
  bag_batch(Source source, vector_view<const std::int64_t> offsets) : source_(std::move(source)), offsets_(offsets) {}

  const Source& source() const { return source_; }
  vector_view<const std::int64_t> offsets() const {
    return offsets_.absent() ? vector_view<const std::int64_t>(one_, {2}) : offsets_;
  }
  std::int64_t bags() const { return offsets().extent(0) - 1; }
  std::int64_t instances() const { return source_.shape()[0]; }

 private:
  Source source_;
  std::int64_t one_[2] = {};
  vector_view<const std::int64_t> offsets_;
};

/// One bag, or a ragged batch of them, in memory.
template <class T, int Rank, class Space>
bag_batch<bag_view<std::remove_const_t<T>, Rank, Space>> bags_of(view<T, Rank, Space> instances,
                                                                 vector_view<const std::int64_t> offsets = {}) {
  const bag_view<std::remove_const_t<T>, Rank, Space> source{instances};
  using batch = bag_batch<bag_view<std::remove_const_t<T>, Rank, Space>>;
  return offsets.absent() ? batch(source) : batch(source, offsets);
}

/// Throws unless `offsets` describes bags that cover `rows` rows: at least one bag, none empty (value_error naming the
/// bag), from 0 to rows in ascending order (shape_error).
inline void expect_offsets(std::string_view op, vector_view<const std::int64_t> offsets, std::int64_t rows) {
  if (offsets.extent(0) < 2)
    throw value_error(
        message(op, ": there is no bag; offsets has ", offsets.extent(0), " entries, expected at least 2"));
  const std::int64_t bags = offsets.extent(0) - 1;
  if (offsets(0) != 0) throw shape_error(message(op, ": offsets[0] is ", offsets(0), ", expected 0"));
  for (std::int64_t b = 0; b < bags; ++b) {
    if (offsets(b + 1) == offsets(b))
      throw value_error(message(op, ": bag ", b, " of ", bags, " is empty, expected at least one instance"));
    if (offsets(b + 1) < offsets(b))
      throw shape_error(message(op, ": offsets[", b + 1, "] is ", offsets(b + 1), ", expected more than offsets[", b,
                                "] = ", offsets(b)));
  }
  if (offsets(bags) != rows)
    throw shape_error(message(op, ": offsets end at ", offsets(bags), ", but there are ", rows, " instances"));
}

}  // namespace milkit
