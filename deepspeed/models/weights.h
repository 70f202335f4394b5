// Weights of a model in files of any format: read slice by slice as a ParameterSource, and exported to
// Hugging Face folders. Tensors that fuse or reorder parameters of ours (models/weight_layout.h) are taken
// apart and put together on the way.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>

#include "deepspeed/formats/model_files.h"
#include "deepspeed/models/arch_spec.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::models {

/// Consecutive bytes of a file.
struct FilePlace {
  std::filesystem::path file;
  int64_t offset = 0;
};

/// Reads parameters from a model's files, converting to the wanted dtype; what is quantized is decoded. Only
/// the asked-for slice is touched.
class WeightSource : public nn::ParameterSource {
 public:
  /// Heads that the files lack (ArchSpec::is_head) are initialised under `seed`.
  WeightSource(formats::ModelFiles files, ArchSpec spec, uint64_t seed = 1);
  /// Error unless the files hold the model, heads that they may lack left out: one that lists the parameters
  /// that are missing and the tensors that are unexpected (other heads' are not), or names a tensor of
  /// another shape. Call once before materializing.
  void check(const std::vector<nn::ParameterSpec>& specs) const;
  void fill(const nn::ParameterSpec& spec, int64_t begin, at::Tensor slice) const override;

  /// Hugging Face names of those parameters that the files lack, all of them of heads.
  std::vector<std::string> initialised(const std::vector<nn::ParameterSpec>& specs) const;
  /// Names of tensors in the files that none of the parameters takes, buffers left out: another head's.
  std::vector<std::string> unused(const std::vector<nn::ParameterSpec>& specs) const;
  /// The tensor of the files that holds the parameter, or null where it is a head that they lack.
  const formats::MappedTensor* stored(const nn::ParameterSpec& spec) const;
  /// Where a file holds the parameter's elements just as spec.dtype wants them, one after the other; nothing
  /// where they are to be converted, put in order, decoded or initialised.
  std::optional<FilePlace> in_place(const nn::ParameterSpec& spec) const;

 private:
  /// The names by which the files may hold it: with or without the family's prefix, and as older files have
  /// it.
  std::vector<std::string> possible_names(const nn::ParameterSpec& spec) const;
  /// The one that they do hold; else the first.
  std::string file_name(const nn::ParameterSpec& spec) const;
  void check_names(const std::vector<nn::ParameterSpec>& specs) const;
  bool is_missing_head(const nn::ParameterSpec& spec) const;

  // All of a tensor whose elements lie apart in its file, of which every read copies all bytes: the one that
  // was read last is kept, for whoever reads it part by part.
  at::Tensor whole_apart(const formats::MappedTensor& tensor, at::ScalarType type) const;

  struct Apart {
    std::mutex mutex;
    const formats::MappedTensor* tensor = nullptr;
    at::Tensor elements;
  };

  formats::ModelFiles files_;
  ArchSpec spec_;
  uint64_t seed_;
  std::shared_ptr<Apart> apart_ = std::make_shared<Apart>();
};

struct ExportOptions {
  std::filesystem::path
      source;  // the folder whose config.json, tokenizer and generation files are copied along
  at::ScalarType dtype = at::kFloat;
  /// All elements of a parameter of the model, asked for as the files are written; empty: the parameter's
  /// own.
  std::function<at::Tensor(const at::Tensor& parameter)> values = {};
};

/// Writes `folder` as transformers loads it: config.json (with architectures and torch dtype set), tokenizer
/// files of the source, model.safetensors. Tied weights are written once. Memory holds one
/// tensor of the files and one parameter. One rank calls it.
void export_hugging_face(const std::filesystem::path& folder, const ArchSpec& spec, torch::nn::Module& model,
                         const ExportOptions& options);

formats::Dtype file_dtype(at::ScalarType dtype);
at::ScalarType tensor_dtype(formats::Dtype dtype, const std::string& where);

}  // namespace deepspeed::models
