#pragma once

#include <cmath>

#include <milkit/core/error.hpp>
#include <milkit/sampling/view_grid.hpp>

namespace milkit::models {

/// How a trained network looks at an image (docs/papers/zoom_in.md 5).
enum class looking {
  deterministic,  ///< tiles by largest remainder, the most attended cells: the same every time
  exact,          ///< every cell of every tile
  sampled,        ///< drawn as in training, the mean of the logits of `repeats` times
  official_code  ///< tile weights (a - min) / max, those below their 30 % quantile 0; tiles are drawn, cells the most attended
};

/// What is not part of the network's type.
struct zoom_in_options {
  sampling::view_geometry views = {};
  std::int64_t draws = 10;   ///< sub-tiles an image, in each branch
  double entropy = 1e-5;     ///< lambda of the entropy regulariser
  double first_entropy = 0;  ///< lambda of the first epoch; used where `entropy_epochs` is not 0
  std::int64_t entropy_epochs =
      0;  ///< epochs over which lambda goes from `first_entropy` to `entropy`, each by the same factor
  bool contrastive = true;            ///< ask that what positive images are not attended to look negative
  std::int64_t contrastive_from = 9;  ///< from that epoch on, counted from 0
  bool official_contrast = false;     ///< the official code's: drawn from complements, weighted by the attention itself
  bool official_weights = false;  ///< the official code's: weights of the losses by the share of positives in the step
  bool official_entropy = false;  ///< the official code's: log(p + 1e-6), divided by the number of entries
  looking inference = looking::deterministic;
  std::int64_t repeats = 1;           ///< looks whose logits are averaged; without chance, they are all the same
  std::int64_t view_bytes = 1 << 20;  ///< of the views that an attention works on at a time
  std::int64_t kept_view_bytes =
      32 << 20;  ///< of each stage, views up to this size are kept for the backward pass, else read again

  /// lambda in an epoch, counted from 0: first_entropy (entropy / first_entropy)^(epoch / entropy_epochs), and `entropy` from
  /// `entropy_epochs` on. An attention that is kept even until the features say something does not settle on whatever stands out.
  /// Error: value_error where it is to change and one of the two is not above 0.
  double entropy_at(std::int64_t epoch) const {
    if (epoch >= entropy_epochs) return entropy;
    expect_value(entropy > 0 && first_entropy > 0, "milkit::models::zoom_in", "the entropy's lambda goes from ",
                 first_entropy, " to ", entropy, ", expected numbers above 0");
    return first_entropy *
           std::pow(entropy / first_entropy, static_cast<double>(epoch) / static_cast<double>(entropy_epochs));
  }
};

}  // namespace milkit::models
