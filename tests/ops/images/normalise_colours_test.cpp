#include <doctest/doctest.h>

#include <milkit/ops/images/normalise_colours_cpu.hpp>

#include <support/close.hpp>

using namespace milkit;

TEST_CASE("normalise_colours: any thread count -> (x / 255 - mean) / deviation rounded once") {
  const shape<4> sizes[] = {{0, 4, 4, 3}, {1, 1, 1, 3}, {2, 5, 7, 3}, {3, 33, 40, 3}};
  const ops::colour_scale scales[] = {ops::imagenet_colours, {}, {{0.5, 0.25, -1}, {2, 0.125, 3}}};
  for (const auto& size : sizes)
    for (const auto& scale : scales)
      for (const int threads : {1, 3}) {
        CAPTURE(to_string(size));
        tensor<std::uint8_t, 2> memory(shape<2>{size[0], size.row_size() + 5});
        for (std::int64_t i = 0; i < memory.size(); ++i)
          memory.data()[i] = static_cast<std::uint8_t>(i * 101 + i / 256);
        const view<const std::uint8_t, 4> x(memory.data(), size, size.row_size() + 5);
        tensor<float, 4> y(shape<4>{size[0], 3, size[1], size[2]});
        cpu backend{.threads = threads};
        ops::normalise_colours(backend, x, y.view(), scale);
        bool same = true;
        for (std::int64_t n = 0; n < size[0]; ++n)
          for (std::int64_t i = 0; i < size[1]; ++i)
            for (std::int64_t j = 0; j < size[2]; ++j)
              for (std::int64_t c = 0; c < 3; ++c)
                same &=
                    y.view()(n, c, i, j) ==
                    static_cast<float>((static_cast<double>(x(n, i, j, c)) / 255 - scale.mean[c]) / scale.deviation[c]);
        CHECK(same);
      }
}

TEST_CASE("normalise_colours refuses what does not fit") {
  cpu backend;
  const tensor<std::uint8_t, 4> x(shape<4>{1, 4, 5, 3}), four(shape<4>{1, 4, 5, 4});
  tensor<float, 4> y(shape<4>{1, 3, 4, 5}), turned(shape<4>{1, 3, 5, 4});
  CHECK_THROWS_WITH_AS(ops::normalise_colours(backend, four.view(), y.view()),
                       "milkit::ops::normalise_colours: colours of x is 4, expected 3", shape_error);
  CHECK_THROWS_WITH_AS(ops::normalise_colours(backend, x.view(), turned.view()),
                       "milkit::ops::normalise_colours: y is [1, 3, 5, 4], expected [1, 3, 4, 5]", shape_error);
  CHECK_THROWS_AS(ops::normalise_colours(backend, x.view(), y.view(), {{0, 0, 0}, {1, 0, 1}}), value_error);
}
