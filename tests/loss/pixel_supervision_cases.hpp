#pragma once

#include <milkit/loss/pixel_supervision.hpp>

#include <support/floats.hpp>
#include <support/regulariser_check.hpp>
#include <support/unoptimised.hpp>

MILKIT_UNOPTIMISED_BEGIN

namespace milkit::test::pixel_supervision_cases {

TEST_CASE("pixel_supervision keeps the contract of a regulariser") {
  check_regulariser(loss::pixel_supervision{},
                    [](const auto& logits, const auto& mask) { return reference::pixel_supervision(logits, mask); });
}

TEST_CASE_TEMPLATE("pixel_supervision agrees with the golden tensors", T, MILKIT_FLOATS) {
  const golden_case golden("zoom_in_pixel_supervision");
  backend_type backend = make_backend();
  const auto logits = golden.get<T, 1>("logits");
  const auto mask = golden.file().read<double>("mask", data::conversion::nearest).values;
  const auto got = run_regulariser<T>(backend, loss::pixel_supervision{}, logits, {0, logits.extent(0)}, mask);
  CHECK(golden.error("attention", got.attention) <= golden_tolerance<T>);
  CHECK(golden.error("loss", got.values) <= golden_tolerance<T>);
  CHECK(golden.error("grad.logits", got.dlogits) <= tolerance_of<T>(1e-10, 1e-4));
}

}  // namespace milkit::test::pixel_supervision_cases

MILKIT_UNOPTIMISED_END
