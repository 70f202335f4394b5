#include "deepspeed/config/environment.h"

namespace deepspeed::config {

const std::vector<Variable>& variables() {
  static const std::vector<Variable> kVariables{
      {"RANK", "", "This process's rank in the world; the launcher sets it.", true},
      {"LOCAL_RANK", "", "Its rank on this machine; the launcher sets it.", true},
      {"WORLD_SIZE", "", "Ranks in the world; the launcher sets it.", true},
      {"LOCAL_SIZE", "", "Ranks on this machine; the launcher sets it.", true},
      {"LOCAL_WORLD_SIZE", "", "The same, as torchrun names it.", true},
      {"MASTER_ADDR", "", "Where rank 0 waits for the others; the launcher sets it.", true},
      {"MASTER_PORT", "", "And on which port.", true},
      {"DEEPSPEED_TIMEOUT", "10", "Minutes that a collective may take before the run is given up.", true},
      {"DS_SHM", "1", "0: ranks of one host exchange tensors over Gloo's sockets, not through shared memory.",
       true},
      {"OMP_NUM_THREADS", "",
       "Threads of one rank; without it the cores are shared between the ranks of a machine.", true},
      {"DS_ACCELERATOR", "",
       "cpu or cuda: what ranks compute on and the launcher counts as slots; without it cuda where there is "
       "a GPU "
       "(docs/cuda.md).",
       true},
      {"CUDA_VISIBLE_DEVICES", "", "The GPUs that the launcher hands out.", true},
      {"DS_FORCE_ISA", "", "Limits kernels to an instruction set: scalar, avx2, avx512, avx512_bf16, amx.",
       true},

      {"DS_RENDEZVOUS_FD", "", "The socket that the launcher has bound for rank 0."},
      {"DS_LAUNCH_T0", "", "When the launcher started, for the time to the first step."},
      {"TORCH_FR_BUFFER_SIZE, TORCH_NCCL_TRACE_BUFFER_SIZE", "0",
       "libtorch's flight recorder; on only if one is set."},
      {"OMPI_COMM_WORLD_*, PMIX_RANK, PMI_*, MPI_LOCALRANKID, MPI_LOCALNRANKS, PALS_*", "",
       "What mpirun says of a rank, where RANK and WORLD_SIZE are not set."},
      {"SLURM_PROCID, SLURM_STEP_NUM_TASKS, SLURM_NTASKS, SLURM_LOCALID", "", "What srun says of it."},
      {"SLURM_STEP_TASKS_PER_NODE", "", "And of the nodes' tasks."},
      {"SLURM_NODEID", "", "And of this node among them."},
      {"DS_ENV_FILE", ".deepspeed_env",
       "Name of the file, at home and here, whose variables a runner hands on.", true},
      {"KMP_AFFINITY", "", "An error beside --bind_cores_to_rank."},
      {"PYTHONPATH", "", "Handed on by runners."},
      {"HOME", "", "Where .deepspeed_env is looked for first, and what ~ means in a model's path."},
      {"HF_HUB_CACHE", "",
       "The Hugging Face cache, where models are looked for by name; HUGGINGFACE_HUB_CACHE as well."},
      {"HF_HOME", "~/.cache/huggingface",
       "Its folder \"hub\" is that cache otherwise; XDG_CACHE_HOME moves the default."},
      {"PATH", "", "Where the launcher and ds_report look for programs."},
      {"CUDA_HOME", "", "Where ds_report looks for nvcc first."},
      {"NO_COLOR", "", "No colours on a terminal."},
      {"TERM", "", "dumb: no progress bar."},
  };
  return kVariables;
}

const std::vector<Variable>& variables_without_effect() {
  static const std::vector<Variable> kVariables{
      {"DS_ALLOW_DEPRECATED_FP16", "", "fp16 on GPUs of compute capability 6.x; CPUs always take fp16."},
      {"DS_BUILD_OPS, DS_BUILD_<OP>, DS_SKIP_CUDA_CHECK, DS_IGNORE_CUDA_DETECTION", "",
       "Every op is linked in when the project is built."},
      {"CCL_ROOT", "", "Collectives on CPUs are Gloo's."},
      {"DS_PIN_MEMORY_BACKEND, DS_PIN_MEMORY_REGISTER_DEVICE, DS_SDMA_ALLGATHER, DS_DC_OFFLOAD_*", "",
       "Of features that are not available yet."},
  };
  return kVariables;
}

}  // namespace deepspeed::config
