#include "deepspeed/aio/schema.h"

#include "deepspeed/config/not_yet.h"

namespace deepspeed::aio {

config::Schema<AioConfig> schema() {
  config::Schema<AioConfig> s(
      "Asynchronous reads and writes of files, for optimizer states on NVMe and programs that make an "
      "aio::Handle; ds_nvme_tune finds the best values for a disk.");
  s.field("block_size", &AioConfig::block_size)
      .range(1, static_cast<double>(kMaxBlockSize))
      .doc("Bytes of one transfer; rounded up to 4096 where the page cache is passed by.");
  s.field("queue_depth", &AioConfig::queue_depth)
      .range(1, kMaxQueueDepth)
      .doc("Transfers that one worker keeps in flight.");
  s.field("intra_op_parallelism", &AioConfig::intra_op_parallelism)
      .alias("thread_count")
      .range(1, kMaxWorkers)
      .doc("Workers that share every read and write.");
  s.field("single_submit", &AioConfig::single_submit)
      .doc("One system call a transfer, instead of one for all that are ready.");
  s.field("overlap_events", &AioConfig::overlap_events)
      .doc("Start a transfer as soon as another ends; false: when all in flight have ended.");
  s.add(config::not_yet_field({"aio.use_gds", "bool", "false", "=", "GPUDirect Storage"}, "use_gds"));
  return s;
}

}  // namespace deepspeed::aio
