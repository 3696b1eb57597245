// expect: lives_where_the_backend_works<
#include <milkit/milkit.hpp>

using namespace milkit;
void f(cpu& cpu, matrix_view<const float> x, matrix_view<const float> weight) {
#if defined(MILKIT_REJECTION_CONTROL)
  ops::linear(cpu, x, weight, vector_view<const float>(), matrix_view<float>());
#else
  ops::linear(cpu, x, weight, vector_view<const float>(), matrix_view<float, device_space>());
#endif
}
