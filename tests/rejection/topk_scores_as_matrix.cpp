// expect: milkit::topk: the scores are a vector, one score an instance
#include <milkit/ops/rows/fill_cpu.hpp>
#include <milkit/ops/selection/topk_cpu.hpp>
#include <milkit/topk/perturbed.hpp>

#if defined(MILKIT_REJECTION_CONTROL)
using scores = milkit::vector_view<const float>;
#else
using scores = milkit::matrix_view<const float>;
#endif
auto f(milkit::cpu& cpu, scores a) { return milkit::topk::perturbed{.k = 12}.select(cpu, a, milkit::pass{}); }
