// expect: lives_where_the_backend_works<
#include <milkit/core/cpu.hpp>

template <milkit::backend Backend, milkit::resident_on<Backend> View>
void op(Backend&, View) {}

void f(milkit::cpu& cpu) {
#if defined(MILKIT_REJECTION_CONTROL)
  op(cpu, milkit::matrix_view<float>());
#else
  op(cpu, milkit::matrix_view<float, milkit::device_space>());
#endif
}
