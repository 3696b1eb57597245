// A cohort to try things on: pyramidal slides of procedural tissue, half of them with a small lesion that only shows at
// high magnification, the table of their labels, and the truth beside each.
//   make_cohort out/cohort --slides 60
#include <iostream>
#include <mutex>

#include <milkit/core/parallel_for.hpp>
#include <milkit/data/csv.hpp>
#include <milkit/data/png.hpp>
#include <milkit/train/progress.hpp>

#include "support/command_line.hpp"
#include "support/tiff_pyramid.hpp"
#include "support/tissue.hpp"

using namespace milkit;

struct entry {
  std::string slide, patient;
  example::patient who;
  std::uint64_t number;
};

// Every fifth patient has two slides; patients are positive and negative by turns.
std::vector<entry> plan(std::int64_t slides, std::uint64_t seed) {
  const auto name = [](const char* what, std::int64_t i) {
    std::string digits = std::to_string(i + 1);
    return what + std::string(digits.size() < 3 ? 3 - digits.size() : 0, '0') + digits;
  };
  std::vector<entry> all;
  for (std::int64_t patient = 0; static_cast<std::int64_t>(all.size()) < slides; ++patient) {
    const random_stream own(seed, static_cast<std::uint64_t>(patient), 0x636F686F7274);
    const philox_block bits = own.bits(0, 0);
    const example::patient who{std::uint64_t{bits.word[0]} << 32 | bits.word[1], patient % 2 == 1};
    const std::int64_t count = patient % 10 == 4 || patient % 10 == 9 ? 2 : 1;
    for (std::int64_t k = 0; k < count && static_cast<std::int64_t>(all.size()) < slides; ++k)
      all.push_back({name("slide_", static_cast<std::int64_t>(all.size())), name("case_", patient), who,
                     static_cast<std::uint64_t>(k)});
  }
  return all;
}

int main(int argc, char** argv) {
  std::filesystem::path out;
  std::int64_t slides = 60, side = 6000;
  std::uint64_t seed = 1;
  int threads = 0, quality = 80;
  example::command_line line(
      "Makes a cohort of procedural slides: pyramidal TIFFs of tissue at 0.5 microns a pixel, cohort.csv "
      "(slide_id,case_id,label), and truth/*.png (white: the lesion; 16 level-0 pixels a pixel).");
  line.new_folder("OUT", out, "folder to write to; slides that are there are kept");
  line.option("--slides", slides, "how many", 2);
  line.option("--side", side, "pixels a side of a slide", 512);
  line.option("--seed", seed, "the same seed gives the same cohort");
  line.option("--quality", quality, "of the JPEG tiles, 1 to 100");
  line.option("--threads", threads, "0: one a core");
  return example::run("make_cohort", line, argc, argv, [&] {
    std::filesystem::create_directories(out / "truth");
    const std::vector<entry> all = plan(slides, seed);
    // Kept slides must be of the same settings.
    const std::string settings = message("seed ", seed, ", side ", side, ", quality ", quality, "\n");
    const auto settings_file = out / "cohort.txt";
    if (std::filesystem::exists(settings_file) && data::read_all(settings_file) != settings)
      throw value_error(message(out.string(), " holds a cohort of other settings (", data::read_all(settings_file),
                                "); remove it, or name another folder"));
    data::write_all(settings_file, settings);
    cpu cpu{.threads = threads};
    std::mutex mutex;
    std::int64_t done = 0, kept = 0;
    train::progress progress("slides", slides, train::progress_to_stderr());
    parallel_for(cpu, slides, 1, [&](row_range rows) {
      const entry& one = all[static_cast<std::size_t>(rows.first)];
      const auto path = out / (one.slide + ".tiff"), truth = out / "truth" / (one.slide + ".png");
      const bool there = std::filesystem::exists(path) && std::filesystem::exists(truth);
      if (!there) {
        const example::tissue_picture made = example::draw_tissue(side, one.who, one.number);
        data::write_png(truth, made.lesion.view());
        example::write_tiff_pyramid(path, made.pixels, 0.5, 4, quality);
      }
      const std::lock_guard lock(mutex);
      kept += there;
      progress.update(++done);
    });
    data::csv_writer table(out / "cohort.csv", {"slide_id", "case_id", "label"});
    std::int64_t positive = 0;
    for (const entry& one : all) {
      table.row(one.slide, one.patient, one.who.positive ? 1 : 0);
      positive += one.who.positive;
    }
    table.commit();
    std::cout << slides << " slides of " << side << " x " << side << " pixels, " << positive << " with a lesion, in "
              << out.string();
    if (kept > 0) std::cout << " (" << kept << " were there)";
    std::cout << "\n";
    return 0;
  });
}
