#include "tissue.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace example {

namespace {

using milkit::random_stream;
constexpr double pi = std::numbers::pi;

// Random numbers one after the other.
class dice {
 public:
  explicit dice(const random_stream& random) : random_(random) {}
  double operator()(double low, double high) { return low + (high - low) * random_.uniform<double>(next_++, 0); }
  std::int64_t below(std::int64_t count) {
    return static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(count), next_++, 0));
  }

 private:
  random_stream random_;
  std::uint64_t next_ = 0;
};

// A texture of mean 0 that repeats every 256 pixels: noise averaged over (2 radius + 1)^2, scaled to deviation 1.
class texture {
 public:
  static constexpr std::int64_t side = 256;
  texture(const random_stream& random, std::int64_t radius_x, std::int64_t radius_y) : values_(side * side) {
    std::vector<float> noise(values_.size());
    for (std::size_t i = 0; i < noise.size(); ++i) noise[i] = random.uniform<float>(i, 0) - 0.5f;
    double square = 0;
    for (std::int64_t y = 0; y < side; ++y)
      for (std::int64_t x = 0; x < side; ++x) {
        float sum = 0;
        for (std::int64_t v = -radius_y; v <= radius_y; ++v)
          for (std::int64_t u = -radius_x; u <= radius_x; ++u) sum += noise[at(x + u, y + v)];
        values_[at(x, y)] = sum;
        square += double(sum) * double(sum);
      }
    const float scale = static_cast<float>(1 / std::sqrt(square / double(side * side)));
    for (float& v : values_) v *= scale;
  }
  float operator()(std::int64_t x, std::int64_t y) const { return values_[at(x, y)]; }

 private:
  static std::size_t at(std::int64_t x, std::int64_t y) {
    return static_cast<std::size_t>((y & (side - 1)) * side + (x & (side - 1)));
  }
  std::vector<float> values_;
};

// Smooth noise in [0, 1] with features of `scale` pixels and half of it.
class field {
 public:
  field(const random_stream& random, double scale) : random_(random), scale_(scale) {}
  double operator()(double x, double y) const {
    return 0.65 * octave(x / scale_, y / scale_, 0) + 0.35 * octave(2 * x / scale_, 2 * y / scale_, 1);
  }

 private:
  double node(std::int64_t x, std::int64_t y, std::uint64_t which) const {
    const auto key = static_cast<std::uint64_t>((y + 4096) * 8192 + x + 4096);
    return random_.uniform<double>(key, which);
  }
  double octave(double x, double y, std::uint64_t which) const {
    const auto ix = static_cast<std::int64_t>(std::floor(x)), iy = static_cast<std::int64_t>(std::floor(y));
    const auto smooth = [](double t) { return t * t * (3 - 2 * t); };
    const double u = smooth(x - double(ix)), v = smooth(y - double(iy));
    return (1 - v) * ((1 - u) * node(ix, iy, which) + u * node(ix + 1, iy, which)) +
           v * ((1 - u) * node(ix, iy + 1, which) + u * node(ix + 1, iy + 1, which));
  }
  random_stream random_;
  double scale_;
};

enum class kind : std::uint8_t { glass, stroma, fat, lobule };

struct disc {
  double x = 0, y = 0, radius = 0;
  bool holds(double px, double py) const { return std::hypot(px - x, py - y) < radius; }
};

struct nucleus_look {
  double radius = 8;       // pixels of half the long axis
  double roundness = 0.8;  // short axis to long axis
  double density = 150;    // of haematoxylin, of 255
  double clumps = 0.12;    // contrast of coarse chromatin
};

// What glands of one lobule share, sick or not, so that how dark and crowded a lobule is says nothing.
struct gland_look {
  double spacing = 2.5;        // of nuclei, in their radii
  double second_layer = 0.25;  // how often there is a nucleus behind another
  double darkness = 1;
};

class painter {
 public:
  painter(std::int64_t side, const patient& who, std::uint64_t slide)
      : side_(side),
        random_(who.seed, slide, 0x7469737375),
        patient_(random_stream(who.seed, 0, 0x70617469656E)),
        fine_(random_.child(1), 1, 1),
        coarse_(random_.child(2), 2, 2),
        fibres_(random_.child(3), 14, 1),
        haematoxylin_(static_cast<std::size_t>(side * side)),
        eosin_(static_cast<std::size_t>(side * side)),
        cells_(side / truth_step),
        map_(static_cast<std::size_t>(cells_ * cells_), kind::glass),
        positive_(who.positive) {
    nuclear_size_ = patient_(0.92, 1.08);
    stain_[0] = patient_(0.85, 1.2);
    stain_[1] = patient_(0.8, 1.25);
    hue_ = patient_(-0.05, 0.05);
    white_ = patient_(238, 248);
  }

  tissue_picture paint() {
    draw_map();
    fill_ground();
    draw_fat();
    draw_stroma_nuclei();
    draw_lymphocytes();
    draw_glands();
    draw_damage();
    tissue_picture made;
    made.pixels = milkit::rgb_image({side_, side_, 3});
    develop(made.pixels);
    draw_pen(made.pixels);
    finish(made);
    return made;
  }

 private:
  // --- where what is ---
  kind at(double x, double y) const {
    const auto cx = static_cast<std::int64_t>(x) / truth_step, cy = static_cast<std::int64_t>(y) / truth_step;
    if (x < 0 || y < 0 || cx >= cells_ || cy >= cells_) return kind::glass;
    return map_[static_cast<std::size_t>(cy * cells_ + cx)];
  }

  void draw_map() {
    dice roll(random_.child(10));
    const double s = static_cast<double>(side_);
    const field outline(random_.child(11), s / 5), fatty(random_.child(12), s / 6), wobble(random_.child(13), 260);
    const double cx = s * roll(0.46, 0.54), cy = s * roll(0.46, 0.54), rx = s * roll(0.40, 0.47),
                 ry = s * roll(0.36, 0.46);
    const double fat_limit = roll(0.64, 0.72);
    for (std::int64_t j = 0; j < cells_; ++j)
      for (std::int64_t i = 0; i < cells_; ++i) {
        const double x = (double(i) + 0.5) * truth_step, y = (double(j) + 0.5) * truth_step;
        const double edge = std::hypot((x - cx) / rx, (y - cy) / ry) + 0.9 * (outline(x, y) - 0.5);
        kind& what = map_[static_cast<std::size_t>(j * cells_ + i)];
        if (edge < 1) what = fatty(x, y) > fat_limit ? kind::fat : kind::stroma;
      }
    const std::int64_t wanted = 2 + roll.below(2);
    for (int attempt = 0; attempt < 4000 && static_cast<std::int64_t>(lobules_.size()) < wanted; ++attempt) {
      const disc one{roll(0.1, 0.9) * s, roll(0.1, 0.9) * s, roll(0.055, 0.08) * s};
      bool fits = true;
      for (int k = 0; k < 16 && fits; ++k)
        fits = at(one.x + one.radius * std::cos(k * pi / 8), one.y + one.radius * std::sin(k * pi / 8)) == kind::stroma;
      for (const disc& other : lobules_)
        fits = fits && std::hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius + 0.02 * s;
      if (fits) lobules_.push_back(one);
    }
    for (const disc& one : lobules_)
      each_cell(one, 1.3, [&](double x, double y, kind& what) {
        if (what == kind::stroma && std::hypot(x - one.x, y - one.y) < one.radius * (0.8 + 0.45 * wobble(x, y)))
          what = kind::lobule;
      });
    if (positive_ && !lobules_.empty()) {
      std::int64_t tissue = 0;
      for (const kind each : map_) tissue += each != kind::glass;
      const double share = std::exp(roll(std::log(0.006), std::log(0.019)));
      const double radius = std::sqrt(share * double(tissue) * truth_step * truth_step / pi);
      const disc& home = lobules_[static_cast<std::size_t>(roll.below(static_cast<std::int64_t>(lobules_.size())))];
      const double away = std::max(0.0, 0.75 * home.radius - radius), angle = roll(0, 2 * pi);
      lesion_ = {home.x + away * std::cos(angle), home.y + away * std::sin(angle), radius};
    }
  }

  template <class Body>
  void each_cell(const disc& area, double reach, Body&& body) {
    const auto cell = [&](double v) {
      return std::clamp(static_cast<std::int64_t>(v / truth_step), std::int64_t{0}, cells_ - 1);
    };
    const double r = area.radius * reach;
    for (std::int64_t j = cell(area.y - r); j <= cell(area.y + r); ++j)
      for (std::int64_t i = cell(area.x - r); i <= cell(area.x + r); ++i)
        body((double(i) + 0.5) * truth_step, (double(j) + 0.5) * truth_step,
             map_[static_cast<std::size_t>(j * cells_ + i)]);
  }

  // --- densities of the two stains, 0 to 255 ---
  void fill_ground() {
    // The border between two kinds is frayed, so that cells do not show.
    for (std::int64_t y = 0; y < side_; ++y) {
      std::uint8_t* h = row(haematoxylin_, y);
      std::uint8_t* e = row(eosin_, y);
      for (std::int64_t x = 0; x < side_; ++x) {
        const float frayed = coarse_(x / 3, y / 3);
        const kind what = at(double(x) + 5 * double(frayed), double(y) + 5 * double(coarse_(y / 3, x / 3)));
        if (what == kind::glass) {
          h[x] = e[x] = 0;
          continue;
        }
        const bool lobule = what == kind::lobule;
        const float fibre = fibres_(x + (y >> 2), y - (x >> 3)) + 0.5f * fibres_(x >> 1, (y + x) >> 1);
        const float ground = what == kind::fat ? 70.0f : lobule ? 62.0f : 84.0f;
        e[x] = byte(ground + 11.0f * fibre + 4.0f * fine_(x, y));
        h[x] = byte((lobule ? 13.0f : 9.0f) + 2.5f * fibre + 3.0f * fine_(y, x));
      }
    }
  }

  void draw_fat() {
    dice roll(random_.child(20));
    const double step = 92;
    for (double y = 0; y < double(side_); y += step * 0.87)
      for (double x = std::fmod(y / (step * 0.87), 2) < 1 ? 0 : step / 2; x < double(side_); x += step) {
        const double cx = x + roll(-9, 9), cy = y + roll(-9, 9), rx = roll(38, 47), ry = roll(38, 47);
        if (at(cx, cy) != kind::fat) continue;
        each_pixel(cx, cy, std::max(rx, ry), [&](double dx, double dy, std::size_t i) {
          const double d = std::hypot(dx / rx, dy / ry);
          if (d < 1) haematoxylin_[i] = eosin_[i] = d < 0.93 ? 2 : static_cast<std::uint8_t>(eosin_[i] / 2);
        });
      }
  }

  void draw_stroma_nuclei() {
    dice roll(random_.child(30));
    const double step = 46;
    for (double y = 0; y < double(side_); y += step)
      for (double x = 0; x < double(side_); x += step) {
        const double cx = x + roll(0, step), cy = y + roll(0, step), chance = roll(0, 1);
        const kind what = at(cx, cy);
        if (what == kind::glass || (what == kind::fat ? chance > 0.06 : chance > 0.5)) continue;
        const double along = 0.35 + 0.8 * std::sin(cx / 900) + 0.5 * std::sin(cy / 700 + 1) + roll(-0.4, 0.4);
        draw_nucleus(cx, cy, {roll(9, 12), roll(0.28, 0.5), roll(120, 165), 0.1}, along);
      }
  }

  void draw_lymphocytes() {
    dice roll(random_.child(40));
    const std::int64_t crowds = 2 + roll.below(4);
    for (std::int64_t k = 0; k < crowds; ++k) {
      const disc crowd{roll(0.15, 0.85) * double(side_), roll(0.15, 0.85) * double(side_), roll(90, 230)};
      const auto count = static_cast<std::int64_t>(crowd.radius * crowd.radius / 170);
      for (std::int64_t i = 0; i < count; ++i) {
        const double r = crowd.radius * std::sqrt(roll(0, 1)) * roll(0.6, 1), angle = roll(0, 2 * pi);
        const double cx = crowd.x + r * std::cos(angle), cy = crowd.y + r * std::sin(angle);
        const nucleus_look look{roll(5.2, 6.6), roll(0.85, 1), roll(175, 215), 0.08};
        if (at(cx, cy) == kind::stroma) draw_nucleus(cx, cy, look, roll(0, pi));
      }
    }
  }

  void draw_glands() {
    dice roll(random_.child(50));
    for (const disc& lobule : lobules_) {
      std::vector<disc> glands;
      const gland_look look{roll(2.0, 3.0), roll(0.1, 0.6), roll(0.82, 1.18)};
      for (int attempt = 0; attempt < 1500; ++attempt) {
        const double angle = roll(0, 2 * pi), r = lobule.radius * 1.1 * std::sqrt(roll(0, 1));
        const disc one{lobule.x + r * std::cos(angle), lobule.y + r * std::sin(angle), roll(44, 84)};
        bool fits = at(one.x, one.y) == kind::lobule;
        for (const disc& other : glands)
          fits = fits && std::hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius + 3;
        if (!fits) continue;
        glands.push_back(one);
        draw_gland(one, look, roll);
      }
    }
  }

  void draw_gland(const disc& gland, const gland_look& own, dice& roll) {
    const double a = roll(0, 2 * pi), b = roll(0, 2 * pi), lumen = roll(0.3, 0.5), mucin = roll(6, 30);
    const auto edge = [&](double angle) {
      return gland.radius * (1 + 0.10 * std::sin(2 * angle + a) + 0.06 * std::sin(3 * angle + b));
    };
    each_pixel(gland.x, gland.y, gland.radius * 1.2, [&](double dx, double dy, std::size_t i) {
      const double distance = std::hypot(dx, dy), r = distance / edge(std::atan2(dy, dx));
      if (r > 1.04) return;
      const auto x = static_cast<std::int64_t>(dx), y = static_cast<std::int64_t>(dy);
      const float rough = 6 * coarse_(x + 77, y + 31) + 4 * fine_(x, y);
      haematoxylin_[i] = r < lumen ? 2 : byte(20 + 0.3f * rough);
      eosin_[i] = r < lumen ? byte(float(mucin) + 0.3f * rough) : r > 0.99 ? byte(120 + rough) : byte(76 + rough);
    });
    const double middle = (1 + lumen) / 2 + 0.12;
    for (int layer = 0; layer < 2; ++layer)
      for (double angle = roll(0, 0.3); angle < 2 * pi;) {
        const double r = edge(angle) * (layer == 0 ? middle : middle - 0.24) + roll(-2.5, 2.5);
        const double cx = gland.x + r * std::cos(angle), cy = gland.y + r * std::sin(angle);
        const bool sick = lesion_.radius > 0 && lesion_.holds(cx, cy);
        nucleus_look look{nuclear_size_ * roll(6.6, 8.0), roll(0.72, 0.9), own.darkness * roll(125, 155), 0.10};
        if (sick)  // larger, coarser, paler
          look = {nuclear_size_ * roll(9.4, 11.8), roll(0.7, 0.9), own.darkness * roll(92, 112), 0.65};
        const double chance = layer == 0 ? 1 : own.second_layer + (sick ? 0.2 : 0);
        if (roll(0, 1) < chance) draw_nucleus(cx, cy, look, angle + roll(-0.3, 0.3));
        angle += (sick ? 0.78 : 1) * own.spacing * look.radius / r * roll(0.9, 1.15);
      }
  }

  void draw_nucleus(double cx, double cy, const nucleus_look& look, double angle) {
    const double c = std::cos(angle), s = std::sin(angle), short_axis = look.radius * look.roundness;
    const auto shift = static_cast<std::int64_t>(cx * 7 + cy * 13);
    each_pixel(cx, cy, look.radius + 1, [&](double dx, double dy, std::size_t i) {
      const double u = (dx * c + dy * s) / look.radius, v = (dy * c - dx * s) / short_axis, d = u * u + v * v;
      if (d > 1.15) return;
      const auto x = static_cast<std::int64_t>(dx) + shift, y = static_cast<std::int64_t>(dy) + shift / 3;
      const double clump = 1 + look.clumps * double(coarse_(x, y)) + 0.05 * double(fine_(x, y));
      const double rim = d > 0.72 && d < 1 ? 1.12 : 1;
      const double soft = d < 0.95 ? 1 : (1.15 - d) / 0.2;
      haematoxylin_[i] = std::max(haematoxylin_[i], byte(float(look.density * clump * rim * soft)));
      eosin_[i] = static_cast<std::uint8_t>(eosin_[i] * (1 - 0.35 * soft));
    });
  }

  void draw_damage() {
    dice roll(random_.child(60));
    const double s = static_cast<double>(side_);
    const auto band = [&](double width, auto&& change) {
      const double angle = roll(0, pi), cx = roll(0.3, 0.7) * s, cy = roll(0.3, 0.7) * s, half = roll(0.12, 0.3) * s;
      const double c = std::cos(angle), sn = std::sin(angle), bend = roll(60, 200);
      each_pixel(cx, cy, half, [&](double dx, double dy, std::size_t i) {
        const double along = dx * c + dy * sn, across = dy * c - dx * sn - bend * std::sin(along / 400);
        if (std::abs(across) < width * (1 - std::abs(along) / half)) change(i);
      });
    };
    if (roll(0, 1) < 0.25)
      band(roll(18, 40), [&](std::size_t i) {
        haematoxylin_[i] = byte(1.8f * float(haematoxylin_[i]));
        eosin_[i] = byte(1.8f * float(eosin_[i]));
      });
    if (roll(0, 1) < 0.35) band(roll(8, 26), [&](std::size_t i) { haematoxylin_[i] = eosin_[i] = 0; });
  }

  // --- light ---
  void develop(milkit::rgb_image& pixels) {
    const double h[3] = {0.65 + hue_, 0.70, 0.29 - hue_}, e[3] = {0.07, 0.99, 0.11 + 0.5 * std::abs(hue_)};
    std::array<std::array<float, 256>, 3> through_h, through_e;
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t v = 0; v < 256; ++v) {
        through_h[c][v] = float(std::exp(-1.9 * stain_[0] * h[c] * double(v) / 160));
        through_e[c][v] = float(white_ * std::exp(-0.95 * stain_[1] * e[c] * double(v) / 160));
      }
    for (std::int64_t y = 0; y < side_; ++y) {
      const std::uint8_t *hs = row(haematoxylin_, y), *es = row(eosin_, y);
      std::uint8_t* out = milkit::pixel(pixels, y, 0);
      for (std::int64_t x = 0; x < side_; ++x, out += 3) {
        const float grain = 1.2f * fine_(x * 3, y * 5);
        for (std::size_t c = 0; c < 3; ++c) out[c] = byte(through_h[c][hs[x]] * through_e[c][es[x]] + grain);
      }
    }
  }

  void draw_pen(milkit::rgb_image& pixels) {
    dice roll(random_.child(70));
    if (roll(0, 1) > 0.2) return;
    const bool green = roll(0, 1) < 0.5;
    const double s = static_cast<double>(side_), angle = roll(0, pi), width = roll(30, 55);
    const double cx = s * roll(0.02, 0.12), cy = s * roll(0.1, 0.9), half = s * roll(0.05, 0.12);
    each_pixel(cx, cy, half, [&](double dx, double dy, std::size_t i) {
      if (std::abs(dy * std::cos(angle) - dx * std::sin(angle) + 30 * std::sin(dx / 90)) > width) return;
      std::uint8_t* p = pixels.data() + 3 * i;
      p[0] = static_cast<std::uint8_t>(p[0] * (green ? 0.15 : 0.12));
      p[1] = static_cast<std::uint8_t>(p[1] * (green ? 0.5 : 0.16));
      p[2] = static_cast<std::uint8_t>(p[2] * (green ? 0.3 : 0.55));
    });
  }

  void finish(tissue_picture& made) {
    made.lesion = milkit::tensor<std::uint8_t, 3>({cells_, cells_, 1});
    std::int64_t tissue = 0, sick = 0;
    for (std::int64_t j = 0; j < cells_; ++j)
      for (std::int64_t i = 0; i < cells_; ++i) {
        const auto k = static_cast<std::size_t>(j * cells_ + i);
        const bool in = map_[k] != kind::glass && lesion_.radius > 0 &&
                        lesion_.holds((double(i) + 0.5) * truth_step, (double(j) + 0.5) * truth_step);
        tissue += map_[k] != kind::glass;
        sick += in;
        made.lesion.data()[k] = in ? 255 : 0;
      }
    made.tissue_share = double(tissue) / double(cells_ * cells_);
    made.lesion_share = tissue > 0 ? double(sick) / double(tissue) : 0;
  }

  // --- small tools ---
  static std::uint8_t byte(float v) { return static_cast<std::uint8_t>(std::clamp(v + 0.5f, 0.0f, 255.0f)); }
  std::uint8_t* row(std::vector<std::uint8_t>& plane, std::int64_t y) { return plane.data() + y * side_; }

  template <class Body>
  void each_pixel(double cx, double cy, double reach, Body&& body) {
    const auto clamped = [&](double v) { return std::clamp(static_cast<std::int64_t>(v), std::int64_t{0}, side_ - 1); };
    for (std::int64_t y = clamped(cy - reach); y <= clamped(cy + reach); ++y)
      for (std::int64_t x = clamped(cx - reach); x <= clamped(cx + reach); ++x)
        body(double(x) - cx, double(y) - cy, static_cast<std::size_t>(y * side_ + x));
  }

  std::int64_t side_;
  random_stream random_;
  dice patient_;
  texture fine_, coarse_, fibres_;
  std::vector<std::uint8_t> haematoxylin_, eosin_;
  std::int64_t cells_;
  std::vector<kind> map_;
  bool positive_;
  std::vector<disc> lobules_;
  disc lesion_;
  double nuclear_size_ = 1, stain_[2] = {1, 1}, hue_ = 0, white_ = 243;
};

}  // namespace

tissue_picture draw_tissue(std::int64_t side, const patient& who, std::uint64_t slide) {
  return painter(side, who, slide).paint();
}

}  // namespace example
