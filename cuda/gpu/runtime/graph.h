// Graph: a capture of the CUDA device, replayed as a CUDA graph.
#pragma once
#include <cuda_runtime_api.h>

#include <vector>

#include "core/device.h"
#include "gpu/runtime/buffer.h"
#include "gpu/runtime/check_cuda.h"
#include "gpu/runtime/stream.h"

namespace specattn {
namespace gpu {

// Two executable instances of one CUDA graph, which replays use in turn. Each has events of its own, at the graph's
// beginning and at each mark, so that the times of one replay can be read while the next one runs.
class Graph final : public Capture {
 public:
  explicit Graph(CudaStream& stream) : stream_(stream) {}
  ~Graph() override {
    // The capture's buffers may be freed with it, so the last replay must have ended.
    cudaStreamSynchronize(stream_.stream());
    for (Instance& instance : instances_) {
      if (instance.executable) cudaGraphExecDestroy(instance.executable);
      for (cudaEvent_t event : instance.events) cudaEventDestroy(event);
    }
  }

  // Adds an event record to the graph in capture. It names the first instance's event; Instantiate sets the second's.
  Status Mark() {
    for (Instance& instance : instances_) {
      cudaEvent_t event = nullptr;
      SPECATTN_CUDA("make an event", cudaEventCreate(&event));
      instance.events.push_back(event);
    }
    SPECATTN_CUDA("record a mark", cudaEventRecordWithFlags(instances_[0].events.back(), stream_.stream(),
                                                            cudaEventRecordExternal));
    return Ok();
  }
  // Makes both instances. `buffers` are kept as long as this capture, since its launches use them.
  Status Instantiate(cudaGraph_t graph, Buffers buffers) {
    buffers_ = std::move(buffers);
    for (Instance& instance : instances_)
      SPECATTN_CUDA("make a graph", cudaGraphInstantiate(&instance.executable, graph, 0));
    SPECATTN_RETURN_IF_ERROR(InspectNodes(graph));
    for (Instance& instance : instances_)
      SPECATTN_CUDA("upload a graph", cudaGraphUpload(instance.executable, stream_.stream()));
    return Ok();
  }

  Status Replay() override {
    SPECATTN_RETURN_IF_ERROR(stream_.FlushSoftmax());
    Instance& instance = instances_[(replays_ + 1) % 2];
    SPECATTN_CUDA("launch a graph", cudaGraphLaunch(instance.executable, stream_.stream()));
    ++replays_;
    return Ok();
  }
  int Launches() const override { return launches_; }
  int Times(int back, double* milliseconds, int capacity) override {
    if (back < 0 || back > 1 || replays_ <= back) return 0;
    const std::vector<cudaEvent_t>& events = instances_[(replays_ - back) % 2].events;
    if (cudaEventSynchronize(events.back()) != cudaSuccess) return 0;
    int count = 0;
    for (size_t i = 1; i < events.size() && count < capacity; ++i) {
      float elapsed = 0;
      if (cudaEventElapsedTime(&elapsed, events[i - 1], events[i]) != cudaSuccess) break;
      milliseconds[count++] = static_cast<double>(elapsed);
    }
    return count;
  }

 private:
  struct Instance {
    cudaGraphExec_t executable = nullptr;
    std::vector<cudaEvent_t> events;
  };

  // Counts the graph's kernels, and replaces the first instance's events by the second's in the second instance.
  Status InspectNodes(cudaGraph_t graph) {
    size_t count = 0;
    SPECATTN_CUDA("look at a graph", cudaGraphGetNodes(graph, nullptr, &count));
    std::vector<cudaGraphNode_t> nodes(count);
    SPECATTN_CUDA("look at a graph", cudaGraphGetNodes(graph, nodes.data(), &count));
    for (cudaGraphNode_t node : nodes) {
      cudaGraphNodeType type;
      SPECATTN_CUDA("look at a graph", cudaGraphNodeGetType(node, &type));
      launches_ += type == cudaGraphNodeTypeKernel;
      if (type != cudaGraphNodeTypeEventRecord) continue;
      cudaEvent_t recorded = nullptr;
      SPECATTN_CUDA("look at a graph", cudaGraphEventRecordNodeGetEvent(node, &recorded));
      for (size_t i = 0; i < instances_[0].events.size(); ++i)
        if (instances_[0].events[i] == recorded)
          SPECATTN_CUDA("set an event", cudaGraphExecEventRecordNodeSetEvent(instances_[1].executable, node,
                                                                             instances_[1].events[i]));
    }
    return Ok();
  }

  CudaStream& stream_;
  Instance instances_[2];
  Buffers buffers_;
  int64_t replays_ = 0;
  int launches_ = 0;
};

}  // namespace gpu
}  // namespace specattn
