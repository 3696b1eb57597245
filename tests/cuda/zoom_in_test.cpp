// labels: emulated unsanitized nvcc
#include <support/cases_on_card.hpp>

#include <models/zoom_in/zoom_in_cases.hpp>
