#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <milkit/core/macros.hpp>
#include <milkit/train/fit_loop.hpp>

namespace milkit::train {

/// What decides which epoch's weights are the best, and when training stops early.
enum class criterion { loss, accuracy, auroc };

/// What one pass over labelled bags gives.
struct evaluation {
  double loss = 0;  ///< mean, by the weights of the labels; NaN where all are 0
  double accuracy = 0;
  double auroc = 0;  ///< macro over the classes (of two classes: the usual one); NaN where it is undefined
  std::vector<std::int64_t> labels;       ///< [bags]
  std::vector<std::int64_t> predictions;  ///< [bags]
  std::vector<double> probabilities;      ///< [bags, classes]
};

namespace detail {

/// Gathers what an evaluation says, bag by bag.
class evaluation_builder {
 public:
  explicit evaluation_builder(std::int64_t classes) : classes_(classes) {}
  /// Adds a bag of this label whose classes have these probabilities; a loss of weight 0 does not enter the mean.
  MILKIT_INLINE void add(std::int64_t label, std::span<const double> probabilities, double loss, double weight);
  MILKIT_INLINE evaluation finish();

 private:
  std::int64_t classes_;
  evaluation result_;
  double total_ = 0, total_weight_ = 0;
};

/// What a fit makes of it. Errors: value_error for an AUROC to judge by that is undefined.
MILKIT_INLINE validation_result validation_of(const evaluation& result, criterion best_by);

}  // namespace detail
}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/evaluation.ipp>
#endif
