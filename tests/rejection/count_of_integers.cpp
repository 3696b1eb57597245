// expect: milkit::ops::count_nonfinite: elements must be float or double
#include <milkit/milkit.hpp>

using namespace milkit;
#if defined(MILKIT_REJECTION_CONTROL)
using element = float;
#else
using element = std::int32_t;
#endif
void f(cpu& cpu, vector_view<const element> x, vector_view<std::int64_t> count) { ops::count_nonfinite(cpu, x, count); }
