# All fuzzers, one line each: folder of the corpus and program name, sources in tests/fuzz, libraries.
ds_add_fuzzer(config config_fuzz.cpp engine_schema)
ds_add_fuzzer(generation generation_fuzz.cpp inference_schema)
ds_add_fuzzer(json_lines json_lines_fuzz.cpp text)
ds_add_fuzzer(labelled_lines labelled_lines_fuzz.cpp text)
ds_add_fuzzer(megatron megatron_fuzz.cpp formats)
ds_add_fuzzer(safetensors safetensors_fuzz.cpp formats)
ds_add_fuzzer(tokenizer tokenizer_fuzz.cpp text)
