// Every op and the gated attention step on a card. Answers lines on its standard input, so that
// benchmarks/peers/card.py can let it take turns with PyTorch: "NAME STEPS" with the seconds of so many steps, checked
// when NAME is met first; an empty line forgets what it has built. With a name as argument: measures that alone, 20
// steps. With --tiny: toy sizes, for an emulated card.
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>

#include "gated_attention.cuh"

namespace {

using namespace milkit;
using namespace milkit::bench;

/// One piece of work with the backend that it runs on.
struct built_work {
  milkit::cuda gpu;
  work what;
  double error = 0;

  built_work(const named_work& named, const sizes& s)
      : gpu({.precision = named.rounding}), what(named.make(gpu, s)), error(what.error()) {}
};

std::string text(std::string words) {
  for (char& c : words)
    if (c == '"' || c == '\\' || c == '\n') c = '\'';
  return "\"" + words + "\"";
}

class server {
 public:
  explicit server(bool toy)
      : sizes_(toy ? tiny : sizes{}), works_(op_works()), flushed_(zeros<std::byte>(shape{sizes_.flushed})) {
    const std::vector<std::int64_t> bags{1'000, 10'000, 100'000};
    for (auto& each : toy ? gated_attention_works<card_training<16, 8, 4>>({bags[0], bags[1]}, 50, 30)
                          : gated_attention_works<card_training<1024, 512, 256>>(bags, 1, 90))
      works_.push_back(each);
  }

  std::string names() const {
    std::string all = "{\"names\": [";
    for (const auto& each : works_) all += (&each == works_.data() ? "" : ", ") + text(each.name);
    return all + "]}";
  }
  void forget() { built_.clear(); }

  std::string measured(const std::string& name, std::int64_t steps) {
    const auto named = std::find_if(works_.begin(), works_.end(), [&](const auto& each) { return each.name == name; });
    if (named == works_.end()) return "{\"absent\": true}";
    auto& built = built_[name];
    if (!built) built = std::make_unique<built_work>(*named, sizes_);
    if (!(built->error <= built->what.bound))
      return "{\"failed\": " + text(message(name, " differs from plain loops by ", built->error)) + "}";
    std::ostringstream out;
    out.precision(9);
    out << "{\"seconds\": [";
    const auto seconds = times_of(built->gpu, built->what, steps, flushed_->view());
    for (std::size_t i = 0; i < seconds.size(); ++i) out << (i ? ", " : "") << seconds[i];
    out << "], \"flops\": " << built->what.flops << ", \"bytes\": " << built->what.bytes
        << ", \"error\": " << built->error << ", \"workspace\": " << built->gpu.peak_bytes()
        << ", \"memory\": " << static_cast<double>(built->gpu.peak_bytes()) + built->what.memory << "}";
    return out.str();
  }

 private:
  sizes sizes_;
  std::vector<named_work> works_;
  array<std::byte, 1> flushed_;
  std::map<std::string, std::unique_ptr<built_work>> built_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string argument = argc > 1 ? argv[1] : "";
    server all(argument == "--tiny");
    if (argc > 1 && argument != "--tiny") return std::puts(all.measured(argument, 20).c_str()) < 0;
    std::cout << all.names() << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
      const auto space = line.rfind(' ');
      if (space == std::string::npos) {
        all.forget();
        std::cout << "{}" << std::endl;
        continue;
      }
      try {
        std::cout << all.measured(line.substr(0, space), std::stoll(line.substr(space + 1))) << std::endl;
      } catch (const std::exception& error) {
        std::cout << "{\"failed\": " << text(error.what()) << "}" << std::endl;
      }
    }
  } catch (const milkit::cuda_error& error) {
    const bool no_card = error.code == cudaErrorNoDevice || error.code == cudaErrorInsufficientDriver;
    std::fprintf(stderr, "%s\n", error.what());
    return no_card ? 77 : 1;
  }
  return 0;
}
