#pragma once
// The encoders that a user may name.

#include <milkit/encoders/encoded_slide.hpp>
#include <milkit/encoders/resnet.hpp>
#include <milkit/encoders/stain_descriptor.hpp>

#include "zoom_study.hpp"

namespace example {

// body(encoder), with the encoder of the study, where the backend works. Of a ResNet what comes before the fourth stage
// is used, as the paper does.
template <class Backend, class Body>
void with_encoder(const Backend&, const study& s, Body&& body) {
  using Space = typename Backend::space;
  const auto with_resnet = [&](auto read) {
    milkit::expect_value(!s.weights.empty(), "--encoder " + s.encoder, "has no weights; name their file by --weights");
    const auto made = read();
    if constexpr (milkit::is_cpu<Backend>) body(made);
    else body(made.template to<Space>());
  };
  if (s.encoder == "stain") body(milkit::encoders::stain_descriptor{});
  else if (s.encoder == "resnet50") with_resnet([&] { return milkit::encoders::read_resnet<50, 3>(s.weights); });
  else if (s.encoder == "resnet34") with_resnet([&] { return milkit::encoders::read_resnet<34, 3>(s.weights); });
  else throw milkit::value_error("the encoder is '" + s.encoder + "', expected stain, resnet50 or resnet34");
}

}  // namespace example
