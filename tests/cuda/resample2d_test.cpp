// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <ops/resample2d_cases.hpp>
