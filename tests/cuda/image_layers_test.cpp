// labels: emulated unsanitized
#include <support/cases_on_card.hpp>

#include <nn/avg_pool2d_cases.hpp>
#include <nn/batch_norm2d_cases.hpp>
#include <nn/conv2d_cases.hpp>
#include <nn/conv2d_same_cases.hpp>
#include <nn/frozen_batch_norm2d_cases.hpp>
#include <nn/global_average_pool_cases.hpp>
#include <nn/max_pool2d_cases.hpp>
