// labels: emulated unsanitized
#include <milkit/milkit_cuda.cuh>

#include <encoders/encoded_slide_cases.hpp>

using namespace milkit;

TEST_CASE("cuda: encoders that the host computes, and slides that are encoded while they are looked at") {
  milkit::cuda gpu;
  test::check_lazy_equals_memory(gpu);
}
