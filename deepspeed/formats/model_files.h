// Whatever holds a model's weights, behind one interface: safetensors, PyTorch's .bin and .pt, GGUF, in one
// file or several, in a folder, as a file, or as a name that the Hugging Face cache knows.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "deepspeed/formats/gguf.h"
#include "deepspeed/formats/mapped_tensor.h"
#include "deepspeed/formats/safetensors_model.h"
#include "deepspeed/formats/torch_model.h"

namespace deepspeed::formats {

enum class ModelFormat { kSafetensors, kTorch, kGguf };
/// "safetensors", "PyTorch", "GGUF".
const char* model_format_name(ModelFormat format);

/// All tensors of a model. Files are mapped, not read; a tensor's pages are read when its elements are.
class ModelFiles {
 public:
  /// A folder: model.safetensors or its index, else pytorch_model.bin or its index, else its GGUF file (the
  /// parts of one model count as one). A file: by its first bytes, an index (.json) by the files that it
  /// names. Errors say what was looked for, and which files a folder of several models has.
  static ModelFiles open(const std::filesystem::path& folder_or_file);
  /// Several files of one model, each with some of its tensors and none of them GGUF. Errors: there are none,
  /// one is of another format, two hold a tensor of the same name.
  static ModelFiles open_all(const std::vector<std::filesystem::path>& files);
  /// Of a GGUF file that is open already, by its path().
  static ModelFiles of_gguf(GgufFile file);
  /// Whether open(folder) would find weights.
  static bool present(const std::filesystem::path& folder);

  ModelFormat format() const { return format_; }
  bool contains(std::string_view name) const { return places_.find(name) != places_.end(); }
  /// All names, sorted.
  std::vector<std::string> names() const;
  /// The tensor, for read_elements and read_floats; valid as long as this object. Errors name the tensor and
  /// the folder when it is not there.
  const MappedTensor& tensor(std::string_view name) const;
  /// The file that holds the tensor, for messages.
  const std::filesystem::path& file_of(std::string_view name) const;
  /// The GGUF file's metadata, or null for other formats.
  const GgufMetadata* gguf_metadata() const;
  /// The folder or file that was opened.
  const std::filesystem::path& source() const { return source_; }

 private:
  struct Place {
    const MappedTensor* tensor;
    const std::filesystem::path* file;
  };
  ModelFiles() = default;
  void add(SafetensorsModel model);
  void add(TorchModel model);
  void add(std::vector<GgufFile> files);
  const Place& place(std::string_view name) const;

  ModelFormat format_ = ModelFormat::kSafetensors;
  std::filesystem::path source_;
  // Behind pointers, so that places stay right when this object is moved.
  std::unique_ptr<SafetensorsModel> safetensors_;
  std::unique_ptr<std::vector<MappedTensor>> safetensors_tensors_;
  std::unique_ptr<TorchModel> torch_;
  std::unique_ptr<std::vector<GgufFile>> gguf_;
  std::vector<ModelFiles> parts_;  // of open_all
  std::map<std::string_view, Place, std::less<>> places_;
};

/// The folder or file that a person means by `name`: a path that is there ("~" is the home folder), or else a
/// model's name in the Hugging Face cache, "ORG/NAME" or "ORG/NAME@REVISION". The Error says where it looked.
std::filesystem::path find_model(const std::string& name);

}  // namespace deepspeed::formats
