#pragma once
// The encoders that a user may name.

#include <milkit/encoders/encoded_slide.hpp>
#include <milkit/encoders/stain_descriptor.hpp>

#include "zoom_study.hpp"

namespace example {

// body(encoder), with the encoder of the study.
template <class Body>
void with_encoder(const study& s, Body&& body) {
  if (s.encoder == "stain") return body(milkit::encoders::stain_descriptor{});
  throw milkit::value_error("the encoder is '" + s.encoder + "', expected stain");
}

}  // namespace example
