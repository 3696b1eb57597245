// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <loss/binary_cross_entropy_cases.hpp>
#include <loss/cross_entropy_cases.hpp>
#include <models/bag_classifier/bag_classifier_cases.hpp>
#include <train/optimizer_cases.hpp>
