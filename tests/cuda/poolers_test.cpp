// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <pooling/attention_cases.hpp>
#include <pooling/bag_embedding_cases.hpp>
#include <pooling/dual_gated_attention_cases.hpp>
#include <pooling/gated_attention_cases.hpp>
#include <pooling/max_cases.hpp>
#include <pooling/mean_cases.hpp>
