#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <milkit/core/error.hpp>
#include <milkit/core/macros.hpp>
#include <milkit/core/random.hpp>

namespace milkit::train {

/// One fold of a cross-validation: the bags to train on and those to test on, as ascending indices.
struct fold {
  std::vector<std::int64_t> train, test;
};

/// A split into three parts, as ascending indices of bags.
struct hold_out {
  std::vector<std::int64_t> train, validation, test;
};

struct k_fold_options {
  std::int64_t folds = 10;
  std::uint64_t seed = 0;
};

struct hold_out_options {
  double validation = 0.1;  ///< share of the bags; 0 leaves the part empty
  double test = 0.2;
  std::uint64_t seed = 0;
};

namespace detail {

/// Bags that must stay together: one patient's.
struct bag_group {
  std::vector<std::int64_t> bags;
  std::vector<std::int64_t> of_class;  // bags of each class that occurs
  std::int64_t main_class = 0;
  std::uint64_t order = 0;
};

/// The groups in the order in which they are dealt out: large ones first (they are hard to place), then class by class,
/// and in a random order among equals.
MILKIT_INLINE std::vector<bag_group> grouped(std::string_view op, std::span<const std::int64_t> labels,
                                             std::span<const std::string> groups, std::uint64_t seed);

/// Deals each group to the part where it brings the classes closest to their shares (the least growth of the squared
/// deviation, each class relative to its size); of equal parts to the one that lacks most bags, then to the first.
MILKIT_INLINE std::vector<std::vector<std::int64_t>> dealt(const std::vector<bag_group>& groups,
                                                           std::span<const double> shares);

}  // namespace detail

/// Stratified k-fold cross-validation that keeps groups (patients) together: no group is in two folds. `groups` names
/// the group of each bag; without it every bag is its own, and folds differ by at most one bag of each class.
/// With groups the classes are balanced as well as a greedy pass over the groups allows (largest first); a group may
/// hold several classes. No fold is empty. The same seed gives the same folds on every machine. A class with fewer
/// groups than folds is absent from some: ask `absent_classes`. Cost: O(groups (log groups + folds classes)).
/// Errors: value_error for folds < 2, more folds than bags or than groups, no bags, a label below 0.
MILKIT_INLINE std::vector<fold> stratified_k_fold(std::span<const std::int64_t> labels,
                                                  std::span<const std::string> groups,
                                                  const k_fold_options& options = {});
MILKIT_INLINE std::vector<fold> stratified_k_fold(std::span<const std::int64_t> labels,
                                                  const k_fold_options& options = {});

/// A stratified split into train, validation and test by shares of the bags, keeping groups together as
/// `stratified_k_fold` does. A share of 0 leaves its part empty.
/// Errors: value_error for shares below 0 or that leave nothing to train on, for a part whose share is above 0 and that
/// got no bag (too few groups), no bags, a label below 0.
MILKIT_INLINE hold_out stratified_hold_out(std::span<const std::int64_t> labels, std::span<const std::string> groups,
                                           const hold_out_options& options = {});
MILKIT_INLINE hold_out stratified_hold_out(std::span<const std::int64_t> labels, const hold_out_options& options = {});

/// Throws value_error, naming the group and both parts, where two parts hold bags of one group (a patient seen in
/// training must not be tested), or where a bag is in two parts or twice in one. Without groups every bag is its own.
/// Also value_error for an index that is no bag. `check_no_leakage(bags, groups, {fold.train, fold.test});`
MILKIT_INLINE void check_no_leakage(std::int64_t bags, std::span<const std::string> groups,
                                    std::initializer_list<std::span<const std::int64_t>> parts);

/// The classes of 0 .. classes - 1 of which a part holds no bag, ascending: a metric of that class is undefined there.
/// Errors: value_error for an index that is no bag or a label outside the classes.
MILKIT_INLINE std::vector<std::int64_t> absent_classes(std::span<const std::int64_t> labels,
                                                       std::span<const std::int64_t> part, std::int64_t classes);

}  // namespace milkit::train

#if !defined(MILKIT_COMPILED)
#include <milkit/train/splits.ipp>
#endif
