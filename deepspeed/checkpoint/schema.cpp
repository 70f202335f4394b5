#include "deepspeed/checkpoint/schema.h"

namespace deepspeed::checkpoint {

config::Schema<CheckpointConfig> schema() {
  config::Schema<CheckpointConfig> s("Saving and loading.");
  s.choice<TagValidation>(
       "tag_validation", &CheckpointConfig::tag_validation,
       {{"Ignore", TagValidation::kIgnore}, {"Warn", TagValidation::kWarn}, {"Fail", TagValidation::kFail}})
      .doc("What to do when ranks give different checkpoint tags.");
  return s;
}

}  // namespace deepspeed::checkpoint
