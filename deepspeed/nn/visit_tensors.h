// Finds the tensors in what a forward takes and returns: tensors, optionals, pairs, tuples and vectors of
// them, nested.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <utility>
#include <vector>

namespace deepspeed::nn {

template <class T, class F>
void visit_tensors(T&, F&&) {}  // anything else carries no tensors

template <class F>
void visit_tensors(at::Tensor& tensor, F&& visit) {
  visit(tensor);
}
template <class T, class F>
void visit_tensors(std::optional<T>& value, F&& visit);
template <class T, class F>
void visit_tensors(std::vector<T>& values, F&& visit);
template <class A, class B, class F>
void visit_tensors(std::pair<A, B>& pair, F&& visit);
template <class... T, class F>
void visit_tensors(std::tuple<T...>& tuple, F&& visit);

template <class T, class F>
void visit_tensors(std::optional<T>& value, F&& visit) {
  if (value) visit_tensors(*value, visit);
}
template <class T, class F>
void visit_tensors(std::vector<T>& values, F&& visit) {
  if constexpr (!std::is_same_v<T, bool>)
    for (auto& value : values) visit_tensors(value, visit);
}
template <class A, class B, class F>
void visit_tensors(std::pair<A, B>& pair, F&& visit) {
  visit_tensors(pair.first, visit);
  visit_tensors(pair.second, visit);
}
template <class... T, class F>
void visit_tensors(std::tuple<T...>& tuple, F&& visit) {
  std::apply([&](auto&... values) { (visit_tensors(values, visit), ...); }, tuple);
}

}  // namespace deepspeed::nn
