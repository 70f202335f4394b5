// Keys of transformers that GenerationConfig has no member for.
#include "deepspeed/inference/schema.h"

namespace deepspeed::inference {

std::vector<config::NotYetRow> generation_keys_refused() {
  return {{"guidance_scale", "any", "1.0", "1|1.0", "classifier-free guidance"},
          {"watermarking_config", "any", "null", "null", "watermarks"},
          {"token_healing", "any", "false", "false", "token healing"},
          {"max_time", "any", "null", "null", "a time limit of generation"},
          {"penalty_alpha", "any", "0.0", "0|0.0", "contrastive search"},
          {"dola_layers", "any", "null", "null", "DoLa decoding"},
          {"diversity_penalty", "any", "0.0", "0|0.0", "diverse beam search"},
          {"num_beam_groups", "any", "1", "1", "diverse beam search"},
          {"constraints", "any", "null", "null", "constrained beam search"},
          {"force_words_ids", "any", "null", "null", "constrained beam search"},
          {"prompt_lookup_num_tokens", "any", "null", "null", "assisted generation"},
          {"assistant_early_exit", "any", "null", "null", "assisted generation"},
          {"assistant_ensemble_weight", "any", "null", "null", "assisted generation"},
          {"speculation_type", "any", "null", "null", "assisted generation"},
          {"is_assistant", "any", "false", "false", "assisted generation"},
          {"use_mtp", "any", "false", "false", "multi-token prediction"},
          {"low_memory", "any", "false", "false", "sequential beam search"}};
}

const std::vector<std::string>& generation_keys_without_effect() {
  static const std::vector<std::string> keys = {"use_cache",
                                                "cache_implementation",
                                                "cache_config",
                                                "max_cache_len",
                                                "output_attentions",
                                                "output_hidden_states",
                                                "output_scores",
                                                "output_logits",
                                                "return_dict_in_generate",
                                                "num_assistant_tokens",
                                                "num_assistant_tokens_schedule",
                                                "assistant_confidence_threshold",
                                                "max_matching_ngram_size",
                                                "assistant_lookbehind",
                                                "target_lookbehind",
                                                "compile_config",
                                                "disable_compile",
                                                "continuous_batching_config",
                                                "prefill_chunk_size",
                                                "transformers_version",
                                                "_from_model_config",
                                                "_commit_hash"};
  return keys;
}

}  // namespace deepspeed::inference
