// expect: milkit::sampling::log_gradient: the second argument is a sampler
#include <milkit/ops/selection/draws_cpu.hpp>
#include <milkit/sampling/exact.hpp>

using namespace milkit;
struct only_a_rule {
  static constexpr bool repeats = true;
  ops::draw_rule rule() const { return {}; }
};
#if defined(MILKIT_REJECTION_CONTROL)
using operation = sampling::exact;
#else
using operation = only_a_rule;
#endif
auto f(cpu& cpu, const sampling::distributions<float>& of, const sampling::drawn<float>& made,
       vector_view<const float> a) {
  return sampling::log_gradient(cpu, operation(), of, made, a);
}
