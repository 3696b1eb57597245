#pragma once

#include <milkit/pooling/bag_embedding.hpp>

namespace milkit::models {

/// The classic network of multiple-instance learning: encoder (instance by instance), pooler (bag to embedding), classifier
/// (embedding to class logits). With `pooling::gated_attention` it is AB-MIL (Ilse, Tomczak & Welling 2018):
///
///     using abmil = bag_classifier<nn::sequential<nn::linear<1024, 512>, nn::relu>, pooling::gated_attention<512, 256>,
///                                  nn::linear<512, 2>>;
///
/// Takes ragged batches of bags; each bag has attention for its instances and logits [classes]. Parameters: `encoder.*`,
/// `pooler.*`, `classifier.*`. Memory and chunks: see pooling::bag_embedding.
template <class Encoder, pooler Pooler, class Classifier>
struct bag_classifier {
  static_assert(pooling::bag_embedding<Encoder, Pooler>::out_features < 0 || Classifier::in_features < 0 ||
                    pooling::bag_embedding<Encoder, Pooler>::out_features == Classifier::in_features,
                "milkit::models::bag_classifier: the pooler gives another number of features than the classifier takes");
  using embedding_type = pooling::bag_embedding<Encoder, Pooler>;

  embedding_type embedding = {};
  Classifier classifier = {};

  template <class Visitor>
  constexpr void describe(Visitor& v) const {
    embedding.describe(v);
    v.child("classifier", classifier);
  }

  /// What forward gives. `logits` [bags, classes] is written; the others where they are not absent: embedding [bags, d],
  /// attention_logits [instances, scores], attention [instances, attentions].
  template <class T, class Space = host_space>
  struct outputs {
    matrix_view<T, Space> logits;
    matrix_view<T, Space> embedding = {};
    matrix_view<T, Space> attention_logits = {};
    matrix_view<T, Space> attention = {};
  };

  template <class Source, class Backend>
  struct saved {
    using T = typename Source::value_type;
    typename embedding_type::template saved<Source, Backend> embedding;
    typename Classifier::template saved<matrix_view<const T, typename Backend::space>> classifier;
    matrix_view<T, typename Backend::space> embeddings;
  };

  shape<2> output_shape(std::int64_t bags, shape<2> embeddings) const { return classifier.output_shape(embeddings.with_rows(bags)); }

  /// The number of classes.
  template <class Source>
  std::int64_t classes(const Source& source) const {
    return classifier.output_shape(embedding.encoder.output_shape(source.shape()))[1];
  }

  template <class Backend, class Weights, class Source>
  void forward(Backend& backend, Weights weights, const bag_batch<Source>& bags,
               const outputs<typename Source::value_type, typename Backend::space>& out, saved<Source, Backend>& kept,
               const pass& pass) const {
    using T = typename Source::value_type;
    const std::int64_t features = embedding.encoder.output_shape(bags.source().shape())[1];
    kept.embeddings = out.embedding.absent() ? backend.workspace.template allocate<T>(shape<2>{bags.bags(), features}) : out.embedding;
    parameter_cursor cursor(weights);
    const auto embedding_weights = cursor.child(embedding), classifier_weights = cursor.child(classifier);
    embedding.forward(backend, embedding_weights, bags.source(), bags.offsets(), kept.embeddings, out.attention_logits,
                      out.attention, kept.embedding, pass.child(0));
    classifier.forward(backend, classifier_weights, matrix_view<const T, typename Backend::space>(kept.embeddings), out.logits,
                       kept.classifier, pass.child(1));
  }

  /// From dlogits [bags, classes] (used up) to the gradient of every parameter, and of the instances where dinput is not
  /// absent. dattention [instances, attentions]: a further gradient on the attention itself, or absent.
  template <class Backend, class Weights, class Source, class Dlogits, class Dattention, class Dinput, class Gradient>
  void backward(Backend& backend, Weights weights, const bag_batch<Source>& bags, const saved<Source, Backend>& kept,
                Dlogits dlogits, Dattention dattention, Dinput dinput, Gradient gradient, const pass& pass) const {
    using T = typename Source::value_type;
    const auto scope = backend.workspace.scope();
    const auto dembedding = backend.workspace.template allocate<T>(kept.embeddings.shape());
    parameter_cursor cursor(weights);
    parameter_cursor gradient_cursor(gradient);
    const auto embedding_weights = cursor.child(embedding), classifier_weights = cursor.child(classifier);
    const auto embedding_gradient = gradient_cursor.child(embedding), classifier_gradient = gradient_cursor.child(classifier);
    classifier.backward(backend, classifier_weights, kept.classifier, dlogits, dembedding, classifier_gradient, pass.child(1));
    embedding.backward(backend, embedding_weights, bags.source(), kept.embedding, dembedding, dattention, dinput, embedding_gradient,
                       pass.child(0));
  }
};

}  // namespace milkit::models
