#pragma once

#include <milkit/train/splits.hpp>

namespace milkit::train::detail {

MILKIT_INLINE std::vector<bag_group> grouped(std::string_view op, std::span<const std::int64_t> labels,
                                             std::span<const std::string> groups, std::uint64_t seed) {
  expect_value(!labels.empty(), op, "got 0 bags, expected at least 1");
  if (!groups.empty())
    expect_extent(op, "groups.size()", static_cast<std::int64_t>(groups.size()),
                  static_cast<std::int64_t>(labels.size()));
  const std::int64_t lowest = *std::min_element(labels.begin(), labels.end());
  expect_value(lowest >= 0, op, "a label is ", lowest, ", expected 0 or more");
  std::vector<std::int64_t> classes(labels.begin(), labels.end());
  std::sort(classes.begin(), classes.end());
  classes.erase(std::unique(classes.begin(), classes.end()), classes.end());
  std::vector<bag_group> all;
  std::map<std::string, std::size_t> index;
  const random_stream keys(seed, 0, 0x666F6C64);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::size_t g = groups.empty() ? i : index.try_emplace(groups[i], all.size()).first->second;
    if (g == all.size()) {
      const philox_block bits = keys.bits(g, 0);
      all.push_back(
          {{}, std::vector<std::int64_t>(classes.size()), 0, std::uint64_t{bits.word[0]} << 32 | bits.word[1]});
    }
    all[g].bags.push_back(static_cast<std::int64_t>(i));
    const auto place = std::lower_bound(classes.begin(), classes.end(), labels[i]) - classes.begin();
    ++all[g].of_class[static_cast<std::size_t>(place)];
  }
  for (bag_group& each : all)
    each.main_class = std::max_element(each.of_class.begin(), each.of_class.end()) - each.of_class.begin();
  std::sort(all.begin(), all.end(), [](const bag_group& a, const bag_group& b) {
    if (a.bags.size() != b.bags.size()) return a.bags.size() > b.bags.size();
    if (a.main_class != b.main_class) return a.main_class < b.main_class;
    return a.order != b.order ? a.order < b.order : a.bags.front() < b.bags.front();
  });
  return all;
}

MILKIT_INLINE std::vector<std::vector<std::int64_t>> dealt(const std::vector<bag_group>& groups,
                                                           std::span<const double> shares) {
  const std::size_t classes = groups.front().of_class.size();
  std::vector<double> size(classes);
  double total = 0;
  for (const bag_group& group : groups)
    for (std::size_t c = 0; c < classes; ++c) {
      size[c] += static_cast<double>(group.of_class[c]);
      total += static_cast<double>(group.of_class[c]);
    }
  std::vector<std::vector<double>> held(shares.size(), std::vector<double>(classes));
  std::vector<std::vector<std::int64_t>> parts(shares.size());
  for (const bag_group& group : groups) {
    std::size_t chosen = 0;
    double least = std::numeric_limits<double>::infinity(), largest_lack = 0;
    for (std::size_t p = 0; p < shares.size(); ++p) {
      if (shares[p] <= 0) continue;
      double growth = 0;
      for (std::size_t c = 0; c < classes; ++c) {
        const double added = static_cast<double>(group.of_class[c]);
        if (added > 0) growth += added * (added + 2 * (held[p][c] - shares[p] * size[c])) / size[c];
      }
      const double lack = shares[p] * total - static_cast<double>(parts[p].size());
      constexpr double same = 1e-9;  // above rounding, so that a tie is one on every machine
      if (growth < least - same || (growth < least + same && lack > largest_lack + same)) {
        chosen = p;
        least = growth;
        largest_lack = lack;
      }
    }
    parts[chosen].insert(parts[chosen].end(), group.bags.begin(), group.bags.end());
    for (std::size_t c = 0; c < classes; ++c) held[chosen][c] += static_cast<double>(group.of_class[c]);
  }
  for (auto& part : parts) std::sort(part.begin(), part.end());
  return parts;
}

}  // namespace milkit::train::detail

namespace milkit::train {

MILKIT_INLINE std::vector<fold> stratified_k_fold(std::span<const std::int64_t> labels,
                                                  std::span<const std::string> groups, const k_fold_options& options) {
  constexpr auto op = "milkit::train::stratified_k_fold";
  const std::int64_t folds = options.folds, bags = static_cast<std::int64_t>(labels.size());
  expect_value(folds >= 2, op, "folds is ", folds, ", expected at least 2");
  expect_value(folds <= bags, op, "folds is ", folds, ", expected at most the number of bags, ", bags);
  const auto all = detail::grouped(op, labels, groups, options.seed);
  expect_value(folds <= static_cast<std::int64_t>(all.size()), op, "folds is ", folds,
               ", expected at most the number of groups, ", all.size());
  const std::vector<double> shares(static_cast<std::size_t>(folds), 1.0 / static_cast<double>(folds));
  auto parts = detail::dealt(all, shares);
  std::vector<fold> result(parts.size());
  for (std::size_t f = 0; f < parts.size(); ++f) {
    auto tested = parts[f].begin();
    for (std::int64_t bag = 0; bag < bags; ++bag)
      if (tested != parts[f].end() && *tested == bag) ++tested;
      else result[f].train.push_back(bag);
    result[f].test = std::move(parts[f]);
  }
  return result;
}

MILKIT_INLINE std::vector<fold> stratified_k_fold(std::span<const std::int64_t> labels, const k_fold_options& options) {
  return stratified_k_fold(labels, {}, options);
}

MILKIT_INLINE hold_out stratified_hold_out(std::span<const std::int64_t> labels, std::span<const std::string> groups,
                                           const hold_out_options& options) {
  constexpr auto op = "milkit::train::stratified_hold_out";
  expect_value(options.validation >= 0, op, "validation is ", options.validation, ", expected at least 0");
  expect_value(options.test >= 0, op, "test is ", options.test, ", expected at least 0");
  expect_value(options.validation + options.test < 1, op, "validation and test add up to ",
               options.validation + options.test, ", expected less than 1");
  const auto all = detail::grouped(op, labels, groups, options.seed);
  const double shares[] = {1 - options.validation - options.test, options.validation, options.test};
  auto parts = detail::dealt(all, shares);
  const char* names[] = {"train", "validation", "test"};
  for (std::size_t p = 0; p < parts.size(); ++p)
    expect_value(shares[p] <= 0 || !parts[p].empty(), op, "the ", names[p], " part got 0 of ", labels.size(),
                 " bags in ", all.size(), " groups at a share of ", shares[p], ", expected at least 1");
  return {std::move(parts[0]), std::move(parts[1]), std::move(parts[2])};
}

MILKIT_INLINE hold_out stratified_hold_out(std::span<const std::int64_t> labels, const hold_out_options& options) {
  return stratified_hold_out(labels, {}, options);
}

MILKIT_INLINE void check_no_leakage(std::int64_t bags, std::span<const std::string> groups,
                                    std::initializer_list<std::span<const std::int64_t>> parts) {
  constexpr auto op = "milkit::train::check_no_leakage";
  if (!groups.empty()) expect_extent(op, "groups.size()", static_cast<std::int64_t>(groups.size()), bags);
  std::vector<std::size_t> part_of_bag(
      static_cast<std::size_t>((std::max)(bags, std::int64_t{0})));  // 1 + the part, 0: none
  std::map<std::string, std::size_t> part_of_group;
  std::size_t p = 0;
  for (const auto part : parts) {
    for (const std::int64_t bag : part) {
      expect_value(bag >= 0 && bag < bags, op, "part ", p, " holds bag ", bag, ", expected 0 to ", bags - 1);
      std::size_t& seen_in = part_of_bag[static_cast<std::size_t>(bag)];
      expect_value(seen_in == 0, op, "bag ", bag, " is in part ", seen_in - 1, " and again in part ", p);
      seen_in = p + 1;
      if (groups.empty()) continue;
      const std::string& group = groups[static_cast<std::size_t>(bag)];
      const auto seen = part_of_group.try_emplace(group, p).first;
      expect_value(seen->second == p, op, "group \"", group, "\" is in part ", seen->second, " and in part ", p);
    }
    ++p;
  }
}

MILKIT_INLINE std::vector<std::int64_t> absent_classes(std::span<const std::int64_t> labels,
                                                       std::span<const std::int64_t> part, std::int64_t classes) {
  constexpr auto op = "milkit::train::absent_classes";
  expect_value(classes >= 1, op, "classes is ", classes, ", expected at least 1");
  std::vector<bool> present(static_cast<std::size_t>(classes));
  for (const std::int64_t bag : part) {
    expect_value(bag >= 0 && bag < static_cast<std::int64_t>(labels.size()), op, "the part holds bag ", bag,
                 ", expected 0 to ", static_cast<std::int64_t>(labels.size()) - 1);
    const std::int64_t label = labels[static_cast<std::size_t>(bag)];
    expect_value(label >= 0 && label < classes, op, "label is ", label, ", expected 0 to ", classes - 1);
    present[static_cast<std::size_t>(label)] = true;
  }
  std::vector<std::int64_t> absent;
  for (std::int64_t c = 0; c < classes; ++c)
    if (!present[static_cast<std::size_t>(c)]) absent.push_back(c);
  return absent;
}

}  // namespace milkit::train
