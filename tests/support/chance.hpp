#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

/// How far chance takes figures that are drawn: docs/checks.md, "What a test may assert". Each bound is passed by chance with a
/// probability of at most `false_alarm`, for all `m` figures that are held to it together (each has a share of 1 / m, Bonferroni).
namespace milkit::test {

/// Of one bound. A test has up to a hundred of them: it fails a right program less than once in 10^6 runs.
inline constexpr double false_alarm = 1e-8;

/// So many standard errors is the mean of numbers near normal off at most: sqrt(f (exp(2 L / f) - 1)), L = log(m / false_alarm),
/// because P(|t| > x) <= (1 + x^2 / f)^(-f / 2), the share of two caps of a sphere. The error is that of `draws` = f + 1 numbers
/// themselves; where it is known there is no end of them, and this is sqrt(2 L): 6.1 for one figure, 6.6 for 24.
inline double most_standard_errors(double m = 1, double draws = std::numeric_limits<double>::infinity()) {
  const double l = std::log(m / false_alarm);
  return std::isinf(draws) ? std::sqrt(2 * l) : std::sqrt((draws - 1) * std::expm1(2 * l / (draws - 1)));
}

/// So much is the mean of `draws` numbers of any law off at most, whose variance is known and none of which is further than
/// `range` from the true mean: sqrt(2 variance L / draws) + range L / (3 draws), L = log(2 m / false_alarm) (Bernstein).
inline double most_error(double draws, double variance, double range, double m = 1) {
  const double l = std::log(2 * m / false_alarm);
  return std::sqrt(2 * variance * l / draws) + range * l / (3 * draws);
}

/// The same where the draws themselves gave the variance, and `range` is from the least to the largest that can be drawn:
/// sqrt(2 variance L / draws) + 7 range L / (3 (draws - 1)), L = log(4 m / false_alarm) (Maurer and Pontil 2009, theorem 4).
inline double most_error_seen(double draws, double variance, double range, double m = 1) {
  const double l = std::log(4 * m / false_alarm);
  return std::sqrt(2 * variance * l / draws) + 7 * range * l / (3 * (draws - 1));
}

/// The most of a chi-square of so many degrees of freedom: f + 2 sqrt(f L) + 2 L, L = log(1 / false_alarm) (Laurent and Massart
/// 2000, lemma 1).
inline double most_chi_square(double freedom) {
  const double l = -std::log(false_alarm);
  return freedom + 2 * std::sqrt(freedom * l) + 2 * l;
}

/// Whether outcomes of the probabilities `law`, which sum to 1, may have been seen so often in `draws` draws: none beside them,
/// each by `most_error`, and all by chi-square, in which those expected less than 50 times are one. Says which was not.
inline bool as_often_as(const std::vector<double>& law, const std::vector<double>& seen, double draws) {
  double all = 0, square = 0, cells = 0, rare = 0, rare_expected = 0;
  bool good = law.size() == seen.size();
  const auto add = [&](double count, double expected) {
    square += (count - expected) * (count - expected) / expected;
    cells += 1;
  };
  for (std::size_t i = 0; good && i < law.size(); ++i) {
    const double expected = draws * law[i];
    all += seen[i];
    if (!(std::abs(seen[i] / draws - law[i]) <=
          most_error(draws, law[i] * (1 - law[i]), 1, static_cast<double>(law.size())))) {
      MESSAGE("outcome " << i << " came " << seen[i] << " times of " << draws << ", expected about " << expected);
      good = false;
    }
    if (expected >= 50) add(seen[i], expected);
    else rare += seen[i], rare_expected += expected;
  }
  if (rare_expected >= 50) add(rare, rare_expected);
  if (good && (all != draws || !(square <= most_chi_square(cells)))) {
    MESSAGE(all << " of " << draws << " draws are outcomes of the law; chi-square is " << square << " of " << cells);
    good = false;
  }
  return good;
}

}  // namespace milkit::test
