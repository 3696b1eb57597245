#pragma once

#include <cstddef>

namespace milkit {

/// What a step needs, in bytes, said before anything runs (`models::plan_training_step`, `models::plan_inference`).
struct memory_plan {
  std::size_t bag = 0;  ///< the instances, where they are in memory
  std::size_t weights = 0;
  std::size_t gradient = 0;   ///< each moment of an optimizer takes as much again
  std::size_t workspace = 0;  ///< values saved for the backward pass and temporary memory, of all threads
  std::size_t saved = 0;      ///< of the workspace: what is kept from the forward to the backward pass

  std::size_t total(int moments = 0) const {
    return bag + weights + gradient * static_cast<std::size_t>(1 + moments) + workspace;
  }
};

}  // namespace milkit
