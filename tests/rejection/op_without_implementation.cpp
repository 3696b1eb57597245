// expect: milkit::ops::matmul: no implementation for this backend here; include <milkit/ops/products/matmul_cpu.hpp> for cpu
// without the umbrella: it holds the implementation
#include <milkit/core/cpu.hpp>
#include <milkit/ops/products/matmul.hpp>
#if defined(MILKIT_REJECTION_CONTROL)
#include <milkit/ops/products/matmul_cpu.hpp>
#endif

void f(milkit::cpu& cpu, milkit::matrix_view<float> x) { milkit::ops::matmul(cpu, x, x, x); }
