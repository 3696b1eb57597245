// All headers are installed, and compile from there.
#include <milkit/milkit.hpp>
