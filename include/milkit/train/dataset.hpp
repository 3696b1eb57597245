#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/core/random.hpp>
#include <milkit/data/bags.hpp>
#include <milkit/pooling/bag.hpp>

namespace milkit::train {

/// Labelled bags. `bag(i)` is what the network takes (a `bag_batch` for most); the views in it hold until the next
/// call. With `bag(i, random_stream)` a data set may augment: training calls it with numbers of its own for every step.
template <class D>
concept bag_dataset = requires(D& d, std::int64_t i) {
  { d.size() } -> std::convertible_to<std::int64_t>;
  { d.classes() } -> std::convertible_to<std::int64_t>;
  { d.label(i) } -> std::convertible_to<std::int64_t>;
  d.bag(i);
};

/// Bags of a table in memory.
class table_dataset {
 public:
  explicit table_dataset(const data::bag_table& table) : table_(&table) {}
  std::int64_t size() const { return table_->bags(); }
  std::int64_t classes() const { return table_->classes(); }
  std::int64_t label(std::int64_t i) const { return table_->labels[static_cast<std::size_t>(i)]; }
  auto bag(std::int64_t i) const { return bags_of(table_->bag(i)); }

 private:
  const data::bag_table* table_;
};

struct bag_augmentation {
  double drop = 0.3;   ///< an instance is left out with this probability; a bag keeps at least one
  double noise = 0.3;  ///< deviation of the normal noise added to every feature (of deviation 1: data::standardised)
};

/// Bags of a table that training sees augmented: small data sets overfit less. Evaluation sees them as they are. Every
/// draw is a function of the stream and the instance. Not for several threads at once: the augmented bag lies in a
/// buffer.
class augmented_table {
 public:
  explicit augmented_table(const data::bag_table& table, const bag_augmentation& how = {}) : table_(table), how_(how) {
    expect_value(how.drop >= 0 && how.drop < 1, "milkit::train::augmented_table", "drop is ", how.drop,
                 ", expected 0 <= drop < 1");
    std::int64_t most = 0;
    for (std::int64_t b = 0; b < table.bags(); ++b) most = (std::max)(most, table.bag_size(b));
    buffer_ = tensor<float, 2>({most, table.features()});
  }
  std::int64_t size() const { return table_.size(); }
  std::int64_t classes() const { return table_.classes(); }
  std::int64_t label(std::int64_t i) const { return table_.label(i); }
  auto bag(std::int64_t i) const { return table_.bag(i); }
  auto bag(std::int64_t i, const random_stream& random) {
    const auto all = table_.bag(i).source().instances;
    const random_stream drops = random.child(0), noise = random.child(1);
    const auto survivor = static_cast<std::int64_t>(drops.below(static_cast<std::uint64_t>(all.rows()), 0, 1));
    std::int64_t kept = 0;
    for (std::int64_t k = 0; k < all.rows(); ++k) {
      const auto instance = static_cast<std::uint64_t>(k);
      if (k != survivor && drops.uniform<double>(instance, 0) < how_.drop) continue;
      for (std::int64_t j = 0; j < all.cols(); ++j)
        buffer_.view()(kept, j) =
            all(k, j) + static_cast<float>(how_.noise) * noise.normal<float>(instance, static_cast<std::uint64_t>(j));
      ++kept;
    }
    return bags_of(view<const float, 2>(buffer_.view().rows(0, kept)));
  }

 private:
  table_dataset table_;
  bag_augmentation how_;
  tensor<float, 2> buffer_;
};

/// Some bags of a data set, by their indices: a fold, or a part of one.
template <bag_dataset Dataset>
class subset {
 public:
  subset(Dataset& all, std::vector<std::int64_t> indices) : all_(&all), indices_(std::move(indices)) {
    for (const std::int64_t i : indices_)
      expect_value(i >= 0 && i < all.size(), "milkit::train::subset", "index ", i, " is outside the ", all.size(),
                   " bags");
  }
  std::int64_t size() const { return static_cast<std::int64_t>(indices_.size()); }
  std::int64_t classes() const { return all_->classes(); }
  std::int64_t index(std::int64_t i) const { return indices_[static_cast<std::size_t>(i)]; }
  std::int64_t label(std::int64_t i) const { return all_->label(index(i)); }
  auto bag(std::int64_t i) const { return all_->bag(index(i)); }
  auto bag(std::int64_t i, const random_stream& random) const requires requires(Dataset& d) { d.bag(i, random); }
  { return all_->bag(index(i), random); }

 private:
  Dataset* all_;
  std::vector<std::int64_t> indices_;
};

/// How the bags of an epoch are drawn: each once in random order, or as many draws with replacement in which every
/// class has the same share (docs/papers/zoommil.md 3: weight n / n_class).
enum class bag_order { shuffled, balanced };

/// The bags of one epoch, whose labels are below `classes`; a function of the stream alone.
MILKIT_INLINE std::vector<std::int64_t> epoch_order(std::span<const std::int64_t> labels, std::int64_t classes,
                                                    bag_order how, const random_stream& random);

}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/dataset.ipp>
#endif
