// expect: milkit::train::trainer: the weights are in another memory space than the backend
#include <milkit/milkit.hpp>

using namespace milkit;
using network = models::bag_classifier<nn::identity, pooling::mean, nn::linear<4, 2>>;

void f(cpu& cpu, train::table_dataset& bags, parameters<network, float>& on_host,
       parameters<network, float, device_space>& on_card) {
  train::trainer trainer(cpu, network{}, train::adam{});
#if defined(MILKIT_REJECTION_CONTROL)
  trainer.evaluate(on_host, bags);
  static_cast<void>(on_card);
#else
  trainer.evaluate(on_card, bags);
  static_cast<void>(on_host);
#endif
}
