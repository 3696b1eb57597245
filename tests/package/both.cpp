// Prints what milkit computes, to the last bit: built once from the headers alone and once with milkit::compiled, it must say the same.
#include <cstdio>
#include <fstream>
#include <span>

#include <milkit/data/bag_csv.hpp>
#include <milkit/data/standardise.hpp>
#include <milkit/milkit.hpp>

using namespace milkit;

using encoder = nn::sequential<nn::linear<3, 8>, nn::layer_norm<8>, nn::gelu, nn::dropout>;
using abmil = models::bag_classifier<encoder, pooling::gated_attention<8, 4>, nn::linear<8, 2>>;

template <class Values>
void print(const char* name, const Values& values) {
  std::printf("%s:", name);
  for (const auto value : values) std::printf(" %a", static_cast<double>(value));
  std::printf("\n");
}
/// Bags that a generator of random numbers fills; every third is positive.
std::string some_bags() {
  const random_stream random(1, 2, 3);
  std::string text = "bag,label,f1,f2,f3\n";
  for (std::uint64_t row = 0; row < 60; ++row) {
    text += message("b", row / 4, ",", row / 4 % 3 == 0 ? 1 : 0);
    for (std::uint64_t j = 0; j < 3; ++j)
      text += message(",", random.normal<double>(row, j) + (row % 12 == 0 && j == 0 ? 4 : 0));
    text += "\n";
  }
  return text;
}

void train_on(const data::bag_table& bags) {
  cpu backend{.threads = 2};
  train::table_dataset all(bags);
  const auto folds = train::stratified_k_fold(bags.labels, {.folds = 3, .seed = 4});
  train::subset training(all, folds[0].train), test(all, folds[0].test);
  auto weights = initial_parameters<abmil, float>(backend, {.seed = 5});
  train::trainer trainer(backend, abmil{}, train::adamw{.learning_rate = 0.01});
  const auto history =
      trainer.fit(weights, training, test, {.epochs = 4, .seed = 6, .bags_per_step = 2, .clip_norm = 1});
  const vector_view<const float> values = std::as_const(weights).flat();
  print("weights", std::span(values.data(), static_cast<std::size_t>(values.extent(0))));
  print("losses", history.column("loss"));
  print("probabilities", trainer.evaluate(weights, test).probabilities);
}

/// Ops in double on random numbers.
void compute() {
  cpu backend{.threads = 2};
  tensor<double, 2> x({9, 7}), w({5, 7}), y({9, 5}), p({9, 5});
  const random_stream random(7, 8, 9);
  for (std::uint64_t i = 0; i < 63; ++i) x.data()[i] = random.normal<double>(i, 0);
  for (std::uint64_t i = 0; i < 35; ++i) w.data()[i] = random.normal<double>(i, 1);
  ops::linear(backend, std::as_const(x).view(), std::as_const(w).view(), vector_view<const double>(), y.view());
  ops::activate(backend, ops::gelu_function{}, std::as_const(y).view(), y.view());
  ops::softmax(backend, std::as_const(y).view(), p.view(), vector_view<double>());
  print("softmax", std::span(p.data(), 45));
}

int main(int, char** argv) {
  std::ofstream(argv[1]) << some_bags();
  train_on(data::standardised(data::read_bags(argv[1]), std::vector<std::int64_t>{0, 1, 2, 3}));
  compute();
  return 0;
}
