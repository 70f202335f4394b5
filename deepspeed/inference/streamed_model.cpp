#include "deepspeed/inference/streamed_model.h"

#include <ATen/ops/_unique.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>

#include "deepspeed/inference/weight_loader.h"
#include "deepspeed/nn/linear.h"

namespace deepspeed::inference {
namespace {

// Smaller tiles of the head would only be more, unless buffer_size wants them.
constexpr int64_t kLeastTile = 1 << 24;  // elements

// The rows of a table that are looked up, read from where the model's files have them, neighbours in one go;
// rounded as those of a head that shares the table and is `packed`.
at::Tensor read_rows(const models::WeightSource& weights, const nn::ParameterSpec& spec,
                     const std::optional<ops::PackOptions>& packed, const at::Tensor& ids) {
  const int64_t width = spec.shape.at(1);
  const auto [distinct, places] = at::_unique(ids.reshape({-1}), /*sorted=*/true, /*return_inverse=*/true);
  at::Tensor rows = at::empty({distinct.numel(), width}, packed ? at::kFloat : spec.dtype);
  const auto* id = distinct.const_data_ptr<int64_t>();
  for (int64_t i = 0, end = 0; i < distinct.numel(); i = end) {
    for (end = i + 1; end < distinct.numel() && id[end] == id[end - 1] + 1;) ++end;
    weights.fill(spec, id[i] * width, rows.narrow(0, i, end - i).view({-1}));
  }
  if (packed) rows = ops::PackedWeight::pack(rows, *packed).dequantize().to(spec.dtype);
  std::vector<int64_t> shape = ids.sizes().vec();
  shape.push_back(width);
  return rows.index_select(0, places.reshape({-1})).view(shape);
}

}  // namespace

class StreamedModel::Builder {
 public:
  Builder(StreamedModel& out, torch::nn::Module& model, const ModelSource& source, const WeightForm& form,
          const zero::ZeroConfig& zero)
      : out_(out),
        model_(model),
        source_(source),
        form_(form),
        zero_(zero),
        loader_(model, *source.weights, form.type),
        places_(*source.weights, zero.offload_param) {}

  void build() {
    choose();
    pack();
    for (const nn::ParameterSpec& parameter : nn::list_parameters(model_))
      if (streams(parameter.tensor))
        at::Tensor(parameter.tensor).set_data(zero::without_memory(parameter.shape, form_.type));
      else
        loader_.load(parameter.tensor);
    for (const auto& [name, block] : nn::blocks_of(model_)) add_block(name, *block);
    for (const at::Tensor& parameter : model_.parameters())
      out_.resident_ += static_cast<int64_t>(parameter.storage().nbytes());
    out_.written_ = places_.bytes_written();
    out_.tensors_ = std::make_unique<zero::StreamedTensors>(
        places_.files(), units_,
        zero::WeightStreamOptions{.buffers = static_cast<size_t>(zero_.offload_param.buffer_count),
                                  .pin = zero_.offload_param.pin_memory});
  }

 private:
  bool streams(const at::Tensor& parameter) const {
    return loader_.knows(parameter) && streamed_.contains(loader_.spec(parameter).name);
  }

  // The matrices that do not stay in memory.
  void choose() {
    std::set<const void*> movable;
    for (const auto& [name, block] : nn::blocks_of(model_)) {
      if (dynamic_cast<nn::Linear*>(block) == nullptr && dynamic_cast<nn::Embedding*>(block) == nullptr &&
          dynamic_cast<models::VocabularyHead*>(block) == nullptr)
        continue;
      for (const at::Tensor& parameter : block->as_module().parameters(/*recurse=*/false))
        if (parameter.dim() == 2) movable.insert(parameter.unsafeGetTensorImpl());
    }
    int64_t small = 0, room = zero_.offload_param.max_in_cpu;
    for (const nn::ParameterSpec& spec : nn::list_parameters(model_)) {
      if (!movable.contains(spec.tensor.unsafeGetTensorImpl())) continue;
      const int64_t numel = spec.numel();
      if (numel < zero_.stage3.param_persistence_threshold &&
          small + numel <= zero_.stage3.model_persistence_threshold) {
        small += numel;
      } else if (numel <= room) {
        room -= numel;
      } else {
        room = 0;  // only the first ones stay
        streamed_.insert(spec.name);
      }
      largest_ = std::max(largest_, spec.name.find("layers.") != std::string::npos ? numel : 0);
    }
  }

  void pack() {
    const auto packed = [this](const ops::PackedWeight& weight, const std::vector<std::string>& linears) {
      const bool moves = std::any_of(linears.begin(), linears.end(), [this](const std::string& name) {
        return streamed_.contains(fmt::format("{}.weight", name));
      });
      if (moves)
        written_[weight.packed().unsafeGetTensorImpl()] = write_packed(weight, places_);
      else
        out_.resident_ += weight.bytes();
    };
    if (source_.quantized) source_.quantized->install(model_, {.packed = packed});
    source_.weights->check(nn::list_parameters(model_));
    if (!form_.packed) return;
    nn::PackLinearsOptions options = form_.packed->linears;
    options.source = source_.weights.get();
    options.packed = packed;
    nn::pack_linears(model_, options);
    for (const auto& [name, block] : nn::blocks_of(model_)) {
      auto* head = dynamic_cast<models::VocabularyHead*>(block);
      if (head == nullptr || streams(head->weight()) || !packing_of_head(name)) continue;
      models::PackModelOptions heads = *form_.packed;
      heads.linears.source = source_.weights.get();
      heads.embedding_type = form_.type;
      models::pack_head(model_, *head, heads);
      out_.resident_ += head->packed()->bytes();
    }
  }

  void add_block(const std::string& name, nn::Block& block) {
    if (auto* head = dynamic_cast<models::VocabularyHead*>(&block)) return add_head(name, *head);
    if (auto* linear = dynamic_cast<nn::Linear*>(&block)) return add_linear(name, *linear);
    auto* table = dynamic_cast<nn::Embedding*>(&block);
    if (table == nullptr || !streams(table->weight())) return;
    table->set_lookup(
        [weights = source_.weights, spec = loader_.spec(table->weight()),
         packed = packing_of_head_with(table->weight())](const at::Tensor&, const at::Tensor& ids) {
          return read_rows(*weights, spec, packed, ids);
        });
  }

  // How the head of that name is packed; nothing: not at all.
  std::optional<ops::PackOptions> packing_of_head(const std::string& name) const {
    if (!form_.packed || (form_.packed->linears.keep && form_.packed->linears.keep(name)))
      return std::nullopt;
    return form_.packed->head;
  }

  std::optional<ops::PackOptions> packing_of_head_with(const at::Tensor& table) const {
    for (const auto& [name, block] : nn::blocks_of(model_))
      if (auto* head = dynamic_cast<models::VocabularyHead*>(block);
          head != nullptr && head->weight().defined() && head->weight().is_same(table))
        return packing_of_head(name);
    return std::nullopt;
  }

  void add_linear(const std::string& name, nn::Linear& linear) {
    zero::TensorUnit unit{name, &linear, {}};
    if (const auto* packed = dynamic_cast<const nn::PackedProjection*>(&linear.projection())) {
      const auto written = written_.find(packed->weight().packed().unsafeGetTensorImpl());
      if (written != written_.end()) unit.tensors = written->second;
    }
    for (const at::Tensor& parameter : linear.parameters(/*recurse=*/false)) {
      if (!streams(parameter)) continue;
      auto place = places_.in_place(loader_.spec(parameter));
      if (!place) {
        loader_.load(parameter);
        place = places_.write(parameter);
        zero::drop_memory(parameter);
      }
      unit.tensors.push_back({parameter, place->file, place->offset});
    }
    if (!unit.tensors.empty()) units_.push_back(std::move(unit));
  }

  void add_head(const std::string& name, models::VocabularyHead& head) {
    if (!streams(head.weight())) return;
    const std::optional<ops::PackOptions> packed = packing_of_head(name);
    const int64_t most = std::min(std::max(largest_, kLeastTile), zero_.offload_param.buffer_size);
    std::optional<at::Tensor> bias = head.bias();
    if (bias && packed)
      bias = nn::whole_from(*source_.weights, loader_.spec(*bias));  // not rounded, as in memory
    const StreamedHead& streamed = out_.heads_.emplace_back(
        loader_.spec(head.weight()), bias, HeadTiling{packed, most}, *source_.weights, places_, units_);
    head.set_product([&streamed, this_model = &out_](const at::Tensor& hidden) {
      return streamed.multiply(*this_model->tensors_, hidden);
    });
    out_.multiplying_.push_back(&head);
  }

  StreamedModel& out_;
  torch::nn::Module& model_;
  const ModelSource& source_;
  const WeightForm& form_;
  const zero::ZeroConfig& zero_;
  WeightLoader loader_;
  WeightPlaces places_;
  std::set<std::string> streamed_;                                              // names of parameters
  std::unordered_map<const void*, std::vector<zero::StreamedTensor>> written_;  // by a weight's packed()
  std::vector<zero::TensorUnit> units_;
  int64_t largest_ = 0;  // elements of the layers' largest matrix
};

StreamedModel::StreamedModel(torch::nn::Module& model, const ModelSource& source, const WeightForm& form,
                             const zero::ZeroConfig& zero) {
  Builder(*this, model, source, form, zero).build();
}

StreamedModel::~StreamedModel() {
  for (models::VocabularyHead* head : multiplying_) head->set_product({});
}

}  // namespace deepspeed::inference
