#include <milkit/milkit.hpp>
