#include "deepspeed/inference/gguf_folder.h"

#include <string>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/gguf.h"
#include "deepspeed/inference/engine.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/gguf_config.h"
#include "deepspeed/models/gguf_model.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/nn/materializer.h"

namespace deepspeed::inference {

void export_gguf(const std::filesystem::path& file, const std::filesystem::path& folder,
                 at::ScalarType dtype) {
  const formats::ModelFiles files = formats::ModelFiles::open(file);
  DS_CHECK(files.gguf_metadata() != nullptr, "{} is not a GGUF file", file.string());
  const nlohmann::json config = models::gguf_config(files);
  const models::ArchSpec spec = models::parse_arch_spec(config, file.string());
  DS_CHECK(usual_task(spec) == Task::kTextGeneration, "{}: only decoders are taken from GGUF here, not {}",
           file.string(), spec.model_type);
  DS_CHECK(!files.contains("rope_freqs.weight"),
           "{}: its rotary angles are scaled by a tensor, which no config.json can say here; take the "
           "Hugging Face "
           "folder that it was made of",
           file.string());
  const models::ArchSpec stored = models::gguf_arch_spec(files);
  DS_CHECK(stored.order == spec.order,
           "{}: its matrices lie otherwise than those of a {} folder; take the Hugging Face folder that it "
           "was made of",
           file.string(), spec.model_type);
  models::Decoder model(spec, nullptr);
  const models::WeightSource source(formats::ModelFiles::open(file), stored);
  const auto parameters = nn::list_parameters(model);
  source.check(parameters);
  nn::DenseMaterializer().materialize(parameters, source);
  std::filesystem::create_directories(folder);
  base::write_text_file(folder / "config.json", config.dump(2) + "\n");
  models::export_hugging_face(folder, spec, model, {.source = folder, .dtype = dtype});
  const std::vector<std::byte> metadata = formats::open_gguf_files(file).front().metadata_image();
  base::write_text_file(folder / formats::kGgufCompanion,
                        {reinterpret_cast<const char*>(metadata.data()), metadata.size()});
}

}  // namespace deepspeed::inference
