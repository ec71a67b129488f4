// AutoStatus: TensorFlow's status objects as C++ values, and `api`, the functions of TensorFlow that the adapter calls.
#pragma once
#include "tensorflow/c_api.h"

namespace specattn {
namespace tensorflow {

// Filled by OpenDevices (op.h), before anything else calls TensorFlow.
extern CApi api;

// A TF_Status that is deleted with its scope.
class AutoStatus {
 public:
  AutoStatus() : status_(api.TF_NewStatus()) {}
  ~AutoStatus() { api.TF_DeleteStatus(status_); }
  AutoStatus(const AutoStatus&) = delete;
  operator TF_Status*() const { return status_; }
  Status get() const {
    return api.TF_GetCode(status_) == TF_OK ? Ok() : Error("[tensorflow] %s", api.TF_Message(status_));
  }
  TF_Status* set(Status status) const {
    api.TF_SetStatus(status_, TF_INVALID_ARGUMENT, status.message);
    return status_;
  }

 private:
  TF_Status* const status_;
};

}  // namespace tensorflow
}  // namespace specattn
