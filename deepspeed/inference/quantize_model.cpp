#include "deepspeed/inference/quantize_model.h"

#include <memory>
#include <optional>
#include <system_error>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/hub_cache.h"
#include "deepspeed/formats/model_files.h"
#include "deepspeed/inference/gguf_folder.h"
#include "deepspeed/inference/input_moments.h"
#include "deepspeed/inference/long_text.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;

// A folder that is gone at the end of its scope, whatever becomes of it.
class PassingFolder {
 public:
  explicit PassingFolder(fs::path path) : path_(std::move(path)) {}
  ~PassingFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  PassingFolder(const PassingFolder&) = delete;
  PassingFolder& operator=(const PassingFolder&) = delete;

 private:
  fs::path path_;
};

}  // namespace

models::QuantizedSize quantize_model(const std::string& model, const fs::path& out,
                                     const QuantizeModelOptions& options) {
  const fs::path given = out.lexically_normal(), folder = given.has_filename() ? given : given.parent_path();
  models::check_quantize_options(options.files, folder);
  fs::path source = formats::find_model(model);
  std::optional<PassingFolder> passing;
  if (fs::is_regular_file(source)) {
    DS_CHECK(source.extension() == ".gguf", "{}: want a folder or a GGUF file", source.string());
    fs::path dense = folder;
    dense += ".dense";
    DS_CHECK(
        !fs::exists(dense),
        "{} is in the way: the model is written there before it is quantized; remove what an interrupted run "
        "has left",
        dense.string());
    passing.emplace(dense);
    export_gguf(source, dense, at::kBFloat16);
    source = dense;
  }
  models::QuantizeOptions files = options.files;
  std::unique_ptr<InferenceEngine> engine;
  std::unique_ptr<InputMoments> moments;
  if (!options.calibration.empty()) {
    const InferenceConfig config{.dtype = WeightType::kFp32};
    inference_group(config);  // one rank, on all threads; on the CPU, where moments are summed
    engine =
        std::make_unique<InferenceEngine>(open_model(source.string(), config), config, Task::kTextGeneration);
    moments = std::make_unique<InputMoments>(*engine, read_tokens(*engine, options.calibration),
                                             formats::ModelFiles::open(source).names(),
                                             InputMomentsOptions{.windows = options.calibration_windows});
    files.moments = [&](const std::string& name) { return moments->of(name); };
  }
  return models::quantize_files(source, folder, files);
}

}  // namespace deepspeed::inference
