// labels: emulated unsanitized nvcc
#include <support/cases_on_card.hpp>

#include <models/zoom_mil/zoom_mil_cases.hpp>
