// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <nn/parallel_cases.hpp>
#include <nn/residual_cases.hpp>
#include <nn/sequential_cases.hpp>
