#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace milkit::test {

/// The numbers of `encoders::stain_descriptor`, from their description: plain loops in double.
class stain_oracle {
 public:
  using plane = std::vector<std::vector<double>>;  // [row][column]

  stain_oracle(const std::uint8_t* rgb, std::int64_t height, std::int64_t width) {
    // Unit vectors of the two stains, and one orthogonal to both.
    double stain[3][3] = {{0.65, 0.70, 0.29}, {0.07, 0.99, 0.11}, {}};
    for (int s = 0; s < 2; ++s) {
      const double length = std::hypot(stain[s][0], stain[s][1], stain[s][2]);
      for (double& v : stain[s]) v /= length;
    }
    for (int i = 0; i < 3; ++i)
      stain[2][i] = stain[0][(i + 1) % 3] * stain[1][(i + 2) % 3] - stain[0][(i + 2) % 3] * stain[1][(i + 1) % 3];
    const double third = std::hypot(stain[2][0], stain[2][1], stain[2][2]);
    for (double& v : stain[2]) v /= third;
    plane amount[3];
    for (auto& each : amount) each = plane(at(height), std::vector<double>(at(width)));
    double white = 0;
    for (std::int64_t y = 0; y < height; ++y)
      for (std::int64_t x = 0; x < width; ++x) {
        double density[3], sum = 0;
        for (int c = 0; c < 3; ++c)
          sum += density[c] = -std::log((static_cast<double>(rgb[(y * width + x) * 3 + c]) + 1) / 256);
        white += sum < 0.3;
        // Cramer's rule: density = sum over stains of amount * stain.
        for (int s = 0; s < 3; ++s) {
          double with[3][3];
          for (int i = 0; i < 3; ++i)
            for (int k = 0; k < 3; ++k) with[i][k] = i == s ? density[k] : stain[i][k];
          amount[s][at(y)][at(x)] = determinant(with) / determinant(stain);
        }
      }
    const plane &h = amount[0], &e = amount[1];
    for (const plane* each : {&h, &e}) {
      put_moments(*each);
      for (const double share : {0.1, 0.5, 0.9}) numbers.push_back(quantile(flat(*each), share));
    }
    put_moments(amount[2]);
    numbers.push_back(white / static_cast<double>(height * width));
    const plane half_h = halved(h), half_e = halved(e);
    for (const plane* each : {&h, &half_h, &e, &half_e}) put_gradient(*each, numbers.size() < 17);
    const plane average[5] = {h, averaged(h, 1), averaged(h, 3), averaged(h, 7), averaged(h, 15)};
    for (int i = 0; i < 4; ++i) {
      double sum = 0;
      for (std::size_t y = 0; y < h.size(); ++y)
        for (std::size_t x = 0; x < h[y].size(); ++x) sum += std::abs(average[i][y][x] - average[i + 1][y][x]);
      numbers.push_back(sum / static_cast<double>(height * width));
    }
    put_blobs(h);
    put_blobs(half_h);
  }

  std::vector<double> numbers;

 private:
  static std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }
  static double determinant(const double m[3][3]) {
    double sum = 0;
    for (int i = 0; i < 3; ++i)
      sum += m[0][i] * (m[1][(i + 1) % 3] * m[2][(i + 2) % 3] - m[1][(i + 2) % 3] * m[2][(i + 1) % 3]);
    return sum;
  }
  static std::vector<double> flat(const plane& p) {
    std::vector<double> all;
    for (const auto& row : p) all.insert(all.end(), row.begin(), row.end());
    return all;
  }
  static double mean(const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x;
    return v.empty() ? 0 : sum / static_cast<double>(v.size());
  }
  static double deviation(const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += (x - mean(v)) * (x - mean(v));
    return v.empty() ? 0 : std::sqrt(sum / static_cast<double>(v.size()));
  }
  // Bins of 0.0125 from -8 to 12, linear within one.
  static double quantile(const std::vector<double>& v, double share) {
    std::vector<double> bins(1600);
    for (const double x : v)
      ++bins[at(std::clamp(static_cast<std::int64_t>((x + 8) / 0.0125), std::int64_t{0}, std::int64_t{1599}))];
    double below = 0;
    for (std::size_t i = 0; i < 1600; ++i) {
      if (bins[i] > 0 && below + bins[i] >= share * static_cast<double>(v.size()))
        return -8 + 0.0125 * (static_cast<double>(i) + (share * static_cast<double>(v.size()) - below) / bins[i]);
      below += bins[i];
    }
    return 0;
  }
  void put_moments(const plane& p) {
    const auto all = flat(p);
    numbers.push_back(mean(all));
    numbers.push_back(deviation(all));
  }
  void put_gradient(const plane& p, bool with_deviation) {
    std::vector<double> lengths;
    for (std::size_t y = 0; y + 1 < p.size(); ++y)
      for (std::size_t x = 0; x + 1 < p[y].size(); ++x)
        lengths.push_back(std::hypot(p[y][x + 1] - p[y][x], p[y + 1][x] - p[y][x]));
    numbers.push_back(mean(lengths));
    if (with_deviation) numbers.push_back(deviation(lengths));
  }
  static plane halved(const plane& p) {
    plane half(p.size() / 2, std::vector<double>(p[0].size() / 2));
    for (std::size_t y = 0; y < half.size(); ++y)
      for (std::size_t x = 0; x < half[y].size(); ++x)
        half[y][x] = (p[2 * y][2 * x] + p[2 * y][2 * x + 1] + p[2 * y + 1][2 * x] + p[2 * y + 1][2 * x + 1]) / 4;
    return half;
  }
  static plane averaged(const plane& p, std::int64_t radius) {
    plane made = p;
    const auto rows = static_cast<std::int64_t>(p.size());
    for (std::int64_t y = 0; y < rows; ++y) {
      const auto columns = static_cast<std::int64_t>(p[at(y)].size());
      for (std::int64_t x = 0; x < columns; ++x) {
        double sum = 0, count = 0;
        for (std::int64_t v = std::max(y - radius, std::int64_t{0}); v < std::min(y + radius + 1, rows); ++v)
          for (std::int64_t u = std::max(x - radius, std::int64_t{0}); u < std::min(x + radius + 1, columns); ++u)
            sum += p[at(v)][at(u)], ++count;
        made[at(y)][at(x)] = sum / count;
      }
    }
    return made;
  }

  void put_blobs(const plane& p) {
    const std::size_t first = numbers.size();
    numbers.resize(first + 11);
    if (p.empty() || p[0].empty()) return;
    const plane smooth = averaged(p, 1);
    const double median = quantile(flat(smooth), 0.5), high = quantile(flat(smooth), 0.98);
    const double threshold = median + std::max((high - median) / 2, 0.15);
    plane open = smooth;  // above the threshold and not yet in a blob: 1
    for (auto& row : open)
      for (double& v : row) v = v > threshold ? 1 : 0;
    std::vector<double> areas, diameters, insides, textures, roundnesses;
    for (std::size_t y = 0; y < p.size(); ++y)
      for (std::size_t x = 0; x < p[y].size(); ++x) {
        if (open[y][x] == 0) continue;
        std::vector<std::pair<std::size_t, std::size_t>> members{{y, x}};
        open[y][x] = 0;
        for (std::size_t k = 0; k < members.size(); ++k) {
          const auto [v, u] = members[k];
          const auto take = [&](std::size_t row, std::size_t column) {
            if (row >= p.size() || column >= p[0].size() || open[row][column] == 0) return;
            open[row][column] = 0;
            members.emplace_back(row, column);
          };
          take(v + 1, u), take(v - 1, u), take(v, u + 1), take(v, u - 1);  // below 0 wraps round to very large
        }
        if (members.size() < 12) continue;
        std::vector<double> values, ys, xs;
        for (const auto& [v, u] : members)
          values.push_back(p[v][u]), ys.push_back(static_cast<double>(v)), xs.push_back(static_cast<double>(u));
        const double area = static_cast<double>(members.size());
        double xy = 0;
        for (std::size_t k = 0; k < members.size(); ++k) xy += (xs[k] - mean(xs)) * (ys[k] - mean(ys)) / area;
        const double xx = std::pow(deviation(xs), 2), yy = std::pow(deviation(ys), 2);
        const double apart = std::sqrt((xx - yy) * (xx - yy) / 4 + xy * xy);
        areas.push_back(area);
        diameters.push_back(2 * std::sqrt(area / 3.14159265358979));
        insides.push_back(mean(values));
        textures.push_back(deviation(values));
        roundnesses.push_back(std::sqrt(std::max((xx + yy) / 2 - apart, 0.0) / ((xx + yy) / 2 + apart)));
      }
    if (areas.empty()) return;
    const auto tenth = [](std::vector<double> v) {
      std::sort(v.begin(), v.end());
      return v[static_cast<std::size_t>(std::ceil(0.9 * static_cast<double>(v.size()))) - 1];
    };
    double total = 0, large = 0;
    for (std::size_t i = 0; i < areas.size(); ++i) {
      total += areas[i];
      if (diameters[i] > 1.5 * mean(diameters)) large += areas[i];
    }
    const auto pixels = static_cast<double>(p.size() * p[0].size());
    const double made[11] = {total / pixels,    1000 * static_cast<double>(areas.size()) / pixels,
                             mean(diameters),   deviation(diameters),
                             tenth(diameters),  mean(insides),
                             mean(textures),    tenth(textures),
                             mean(roundnesses), deviation(roundnesses),
                             large / total};
    std::copy(std::begin(made), std::end(made), numbers.begin() + static_cast<std::ptrdiff_t>(first));
  }
};

}  // namespace milkit::test
