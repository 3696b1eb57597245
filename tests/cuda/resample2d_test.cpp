// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <ops/images/resample2d_cases.hpp>
