// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <loss/entropy_regulariser_cases.hpp>
#include <loss/pixel_supervision_cases.hpp>
