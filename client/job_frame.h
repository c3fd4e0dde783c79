// A job as its SUBMIT frame, and its RESULT frame as a result: what client.h's structs look like on the
// wire, and which parts travel inside the frame or as descriptors.
#pragma once

#include <cstdint>
#include <vector>

#include "client/client.h"
#include "client/outgoing.h"

namespace quern::client {

// Appends the frame. An Error, which is the job's outcome, leaves `out` as it was.
[[nodiscard]] Result<void> append_submit(Outgoing& out, std::uint64_t number, const Job& job,
                                         std::uint32_t frame_bytes_max);

// kProtocolError when the server's frame can't be trusted; `scratch` is reused storage.
[[nodiscard]] Result<JobResult> read_result(ipc::ByteSpan body, std::vector<unique_fd> fds,
                                            std::vector<wire::Part>& scratch);

}  // namespace quern::client
