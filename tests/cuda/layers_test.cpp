// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <nn/activation_cases.hpp>
#include <nn/dropout_cases.hpp>
#include <nn/flatten_cases.hpp>
#include <nn/identity_cases.hpp>
#include <nn/l2_normalise_cases.hpp>
#include <nn/layer_norm_cases.hpp>
#include <nn/linear_cases.hpp>
