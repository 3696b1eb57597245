#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

/// What `stain_descriptor` measures on one plane of a tile.
namespace milkit::encoders::detail {

/// Mean and deviation of a plane; sums of 512 in float, these in double.
struct moments {
  double mean = 0, deviation = 0;
  moments(const float* x, std::int64_t count) {
    double sum = 0, square = 0;
    for (std::int64_t first = 0; first < count; first += 512) {
      float part = 0, part_square = 0;
      for (std::int64_t i = first; i < (std::min)(first + 512, count); ++i) {
        part += x[i];
        part_square += x[i] * x[i];
      }
      sum += static_cast<double>(part);
      square += static_cast<double>(part_square);
    }
    if (count == 0) return;
    mean = sum / static_cast<double>(count);
    deviation = std::sqrt((std::max)(square / static_cast<double>(count) - mean * mean, 0.0));
  }
};

/// Counts of values in bins of 0.0125 from -8 to 12, between which all amounts of stains lie (bytes have optical densities
/// up to 5.5).
class histogram {
 public:
  histogram(const float* x, std::int64_t count) : count_(count) {
    for (std::int64_t i = 0; i < count; ++i) {
      const float bin = (x[i] - low) * (1 / width);
      ++bins_[static_cast<std::size_t>((std::min)((std::max)(bin, 0.0f), static_cast<float>(bins - 1)))];
    }
  }
  /// The value below which this share lies, linear within a bin; 0 of nothing.
  float quantile(double share) const {
    double below = 0;
    const double wanted = share * static_cast<double>(count_);
    for (std::size_t i = 0; count_ > 0 && i < bins; ++i) {
      const auto own = static_cast<double>(bins_[i]);
      if (own > 0 && below + own >= wanted)
        return low + width * static_cast<float>(static_cast<double>(i) + (wanted - below) / own);
      below += own;
    }
    return 0;
  }

 private:
  static constexpr std::size_t bins = 1600;
  static constexpr float low = -8, width = 0.0125f;
  std::int64_t count_;
  std::array<std::int32_t, bins> bins_{};
};

/// Averages over (2 radius + 1)^2 pixels; beyond the border there is nothing, so that fewer are averaged there. `memory`
/// has as many elements as the plane.
inline void box_average(const float* x, std::int64_t height, std::int64_t width, std::int64_t radius, float* out,
                        float* memory) {
  // Columns first, rows as vectors: memory = sums of rows v - radius .. v + radius.
  for (std::int64_t u = 0; u < width; ++u) memory[u] = 0;
  for (std::int64_t v = 0; v < (std::min)(radius, height); ++v)
    for (std::int64_t u = 0; u < width; ++u) memory[u] += x[v * width + u];
  for (std::int64_t v = 0; v < height; ++v) {
    float* sums = memory + v * width;
    if (v > 0) std::copy_n(sums - width, width, sums);
    if (v + radius < height)
      for (std::int64_t u = 0; u < width; ++u) sums[u] += x[(v + radius) * width + u];
    if (v - radius - 1 >= 0)
      for (std::int64_t u = 0; u < width; ++u) sums[u] -= x[(v - radius - 1) * width + u];
  }
  for (std::int64_t v = 0; v < height; ++v) {
    const float* sums = memory + v * width;
    const auto rows = static_cast<float>((std::min)(v + radius + 1, height) - (std::max)(v - radius, std::int64_t{0}));
    float sum = 0;
    for (std::int64_t u = 0; u < (std::min)(radius, width); ++u) sum += sums[u];
    for (std::int64_t u = 0; u < width; ++u) {
      if (u + radius < width) sum += sums[u + radius];
      if (u - radius - 1 >= 0) sum -= sums[u - radius - 1];
      const auto columns =
          static_cast<float>((std::min)(u + radius + 1, width) - (std::max)(u - radius, std::int64_t{0}));
      out[v * width + u] = sum / (rows * columns);
    }
  }
}

/// A connected area: its sums, and while areas still grow together, the one that it has become part of.
struct blob {
  std::int32_t joined;  ///< itself where it stands for its area
  std::int32_t area;
  double x, y, xx, yy, xy;  ///< sums over its pixels
  double h, hh;
};

/// How many blobs a plane can have, with those that grow together later, and one for the runs of the row before.
inline std::int64_t blob_memory(std::int64_t height, std::int64_t width) { return height * ((width + 1) / 2) + 1; }

inline constexpr std::int64_t blob_count_of_numbers = 11, least_blob = 12;

inline std::int32_t root_of(blob* blobs, std::int32_t i) {
  while (blobs[i].joined != i) i = blobs[i].joined = blobs[blobs[i].joined].joined;
  return i;
}

/// The areas where `smooth` is above `threshold`, joined over edges; returns how many entries `blobs` has.
inline std::int32_t find_blobs(const float* h, const float* smooth, std::int64_t height, std::int64_t width,
                               float threshold, blob* blobs) {
  struct run {
    std::int32_t first, last, blob;  // last: one past the end
  };
  std::int32_t count = 0;
  // The runs of two rows; a row that is too wide for the stack is cut into parts, which then count as apart.
  constexpr std::int32_t most_runs = 1024;
  std::array<run, most_runs> runs[2];
  std::int32_t sizes[2] = {0, 0};
  for (std::int64_t v = 0; v < height; ++v) {
    const auto& above = runs[(v + 1) & 1];
    auto& own = runs[v & 1];
    const std::int32_t above_size = sizes[(v + 1) & 1];
    std::int32_t size = 0, next_above = 0;
    const float* row = smooth + v * width;
    for (std::int64_t u = 0; u < width && size < most_runs;) {
      while (u < width && !(row[u] > threshold)) ++u;
      if (u == width) break;
      const std::int64_t first = u;
      double sum = 0, square = 0;
      for (; u < width && row[u] > threshold; ++u) {
        const auto value = static_cast<double>(h[v * width + u]);
        sum += value;
        square += value * value;
      }
      const auto length = static_cast<double>(u - first), y = static_cast<double>(v);
      const double x = length * static_cast<double>(first + u - 1) / 2;
      // sum of squares first .. u - 1
      const auto squares = [](double k) { return k * (k + 1) * (2 * k + 1) / 6; };
      const double xx = squares(static_cast<double>(u - 1)) - squares(static_cast<double>(first) - 1);
      blobs[count] = {count, static_cast<std::int32_t>(u - first), x, y * length, xx, y * y * length, x * y, sum,
                      square};
      std::int32_t mine = count++;
      while (next_above < above_size && above[static_cast<std::size_t>(next_above)].last <= first) ++next_above;
      for (std::int32_t k = next_above; k < above_size && above[static_cast<std::size_t>(k)].first < u; ++k) {
        const std::int32_t other = root_of(blobs, above[static_cast<std::size_t>(k)].blob);
        mine = root_of(blobs, mine);
        if (other == mine) continue;
        blob& into = blobs[(std::min)(other, mine)];
        blob& from = blobs[(std::max)(other, mine)];
        into.area += from.area;
        into.x += from.x, into.y += from.y, into.xx += from.xx, into.yy += from.yy, into.xy += from.xy;
        into.h += from.h, into.hh += from.hh;
        from.joined = into.joined;
      }
      own[static_cast<std::size_t>(size++)] = {static_cast<std::int32_t>(first), static_cast<std::int32_t>(u), mine};
    }
    sizes[v & 1] = size;
  }
  return count;
}

/// The numbers of blobs that `stain_descriptor` describes, in that order.
inline void blob_numbers(const float* h, const float* smooth, std::int64_t height, std::int64_t width, blob* blobs,
                         float* out) {
  std::fill_n(out, blob_count_of_numbers, 0.0f);
  const std::int64_t pixels = height * width;
  if (pixels == 0) return;
  const histogram values(smooth, pixels);
  const float median = values.quantile(0.5), high = values.quantile(0.98);
  const std::int32_t entries =
      find_blobs(h, smooth, height, width, median + (std::max)((high - median) / 2, 0.15f), blobs);
  std::int32_t kept = 0;  // the blobs that stay move to the front
  for (std::int32_t i = 0; i < entries; ++i)
    if (blobs[i].joined == i && blobs[i].area >= least_blob) blobs[kept++] = blobs[i];
  if (kept == 0) return;

  double area = 0, diameter = 0, diameter2 = 0, inside = 0, texture = 0, round = 0, round2 = 0;
  for (std::int32_t i = 0; i < kept; ++i) {
    blob& one = blobs[i];
    const auto size = static_cast<double>(one.area);
    const double wide = 2 * std::sqrt(size / 3.14159265358979), mean = one.h / size;
    const double rough = std::sqrt((std::max)(one.hh / size - mean * mean, 0.0));
    const double cx = one.x / size, cy = one.y / size;
    const double xx = one.xx / size - cx * cx, yy = one.yy / size - cy * cy, xy = one.xy / size - cx * cy;
    const double middle = (xx + yy) / 2, apart = std::sqrt((xx - yy) * (xx - yy) / 4 + xy * xy);
    const double roundness = std::sqrt((std::max)(middle - apart, 0.0) / (std::max)(middle + apart, 1e-12));
    area += size;
    diameter += wide, diameter2 += wide * wide;
    inside += mean, texture += rough;
    round += roundness, round2 += roundness * roundness;
    one.x = wide, one.h = rough;  // for the quantiles
  }
  const auto n = static_cast<double>(kept);
  const auto deviation = [&](double sum, double square) {
    return std::sqrt((std::max)(square / n - sum * sum / (n * n), 0.0));
  };
  const auto tenth = [&](double blob::*what) {  // the value that 90 % are at or below
    const auto at = static_cast<std::int32_t>(std::ceil(0.9 * n)) - 1;
    std::nth_element(blobs, blobs + at, blobs + kept, [&](const blob& a, const blob& b) { return a.*what < b.*what; });
    return blobs[at].*what;
  };
  double large = 0;
  for (std::int32_t i = 0; i < kept; ++i)
    if (blobs[i].x > 1.5 * diameter / n) large += static_cast<double>(blobs[i].area);
  const double numbers[blob_count_of_numbers] = {area / static_cast<double>(pixels),
                                                 1000 * n / static_cast<double>(pixels),
                                                 diameter / n,
                                                 deviation(diameter, diameter2),
                                                 tenth(&blob::x),
                                                 inside / n,
                                                 texture / n,
                                                 tenth(&blob::h),
                                                 round / n,
                                                 deviation(round, round2),
                                                 large / area};
  for (std::int64_t k = 0; k < blob_count_of_numbers; ++k) out[k] = static_cast<float>(numbers[k]);
}

}  // namespace milkit::encoders::detail
