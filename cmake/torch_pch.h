// The precompiled header of sources with torch: what nearly every one of them includes anyway.
#pragma once
#include <ATen/ATen.h>
#include <plain_pch.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/types.h>
