#include "deepspeed/models/weight_layout.h"

#include <algorithm>

#include "deepspeed/base/error.h"

namespace deepspeed::models {
namespace {

// The head's place in the file of our head `head`: queries come first in ours, then keys, then values.
int64_t file_head(int64_t head, HeadCounts n) {
  const int64_t group = n.heads / n.kv_heads;  // queries of one key-value head
  if (head < n.heads) return head / group * (group + 2) + head % group;
  const bool value = head >= n.heads + n.kv_heads;
  const int64_t kv_head = head - n.heads - (value ? n.kv_heads : 0);
  return kv_head * (group + 2) + group + (value ? 1 : 0);
}

}  // namespace

int64_t file_rows(RowOrder order, int64_t rows) {
  return order == RowOrder::kFirstHalf || order == RowOrder::kSecondHalf ? 2 * rows : rows;
}

int64_t file_row(RowOrder order, int64_t row, int64_t rows, HeadCounts heads) {
  switch (order) {
    case RowOrder::kSame:
    case RowOrder::kFirstHalf:
    case RowOrder::kExpertOfAll:
      return row;
    case RowOrder::kSecondHalf:
      return rows + row;
    case RowOrder::kByHead: {
      const int64_t count = heads.heads + 2 * heads.kv_heads;
      DS_CHECK(rows % count == 0, "{} rows of queries, keys and values are not a multiple of {} heads", rows,
               count);
      const int64_t dim = rows / count;
      return file_head(row / dim, heads) * dim + row % dim;
    }
    case RowOrder::kNeighbours: {
      DS_CHECK(heads.dim > 0 && heads.dim % 2 == 0 && rows % heads.dim == 0,
               "{} rows are not heads of an even number of rows, {}", rows, heads.dim);
      const int64_t half = heads.dim / 2, inside = row % heads.dim;
      return row - inside + 2 * (inside % half) + inside / half;
    }
  }
  return row;
}

std::vector<Run> file_runs(RowOrder order, int64_t rows, int64_t width, HeadCounts heads, int64_t begin,
                           int64_t count) {
  std::vector<Run> runs;
  for (int64_t at = begin, end = begin + count; at < end;) {
    const int64_t row = at / width, column = at % width, length = std::min(width - column, end - at);
    const int64_t file = file_row(order, row, rows, heads) * width + column;
    if (!runs.empty() && runs.back().file + runs.back().count == file) {
      runs.back().count += length;
    } else {
      runs.push_back({at, file, length});
    }
    at += length;
  }
  return runs;
}

}  // namespace deepspeed::models
