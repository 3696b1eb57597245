// expect: milkit::sampling::log_gradient: the second argument is a sampler
#include <milkit/ops/selection/draws_cpu.hpp>
#include <milkit/sampling/without_replacement.hpp>
#include <milkit/topk/perturbed.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
using operation = sampling::without_replacement;
#else
using operation = topk::perturbed;
#endif
auto f(cpu& cpu, const sampling::distributions<float>& of, const sampling::drawn<float>& made,
       vector_view<const float> a) {
  return sampling::log_gradient(cpu, operation(), of, made, a);
}
