// Session: one client's connection. It reads requests, hands jobs to their pools, and writes the
// answers, in whatever order they come.
//
//     connected --hello--> serving --(end of stream)--> answering what is left --> closed
//         |                   |
//         |                   +--(protocol error)--> GOING_AWAY with the reason --> closed
//         |                   +--(peer closed)--> its jobs are cancelled --> closed
//         +--(too slow)-------+--> GOING_AWAY with the reason --> closed
//
// Backpressure: the session stops reading while the pool of its next job is full, while it has
// jobs_max jobs in flight, or while the client leaves kOutBytesMax bytes of answers unread; and, for all
// clients' sake, before a large body while too many are being received, and while it has answers unread
// and all clients together too many. Nothing else waits for a slow client, and what it costs is bounded.
//
// What it makes us hold is on the client's account (client_account.h): a job above a limit is refused, and the
// connection goes on. A descriptor for which there is no room is closed as it comes.
//
// Requests that fit InBuffer are buffered whole. The body of a larger job goes on into a memfd as it comes:
// body_stream.h has the states of a frame, and what is held in each.
//
// Too slow: no hello within handshake_timeout_ms, a frame late as frame_pace.h says, no byte of an answer
// taken for write_timeout_ms, nothing at all for idle_timeout_ms. The time that the session itself does
// not read does not count.
//
// One thread. run() is called once; destroy only after it has ended.
#pragma once

#include <sys/socket.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/error.h"
#include "ipc/wire.h"
#include "supervisor/async_event.h"
#include "supervisor/body_stream.h"
#include "supervisor/byte_budget.h"
#include "supervisor/client_account.h"
#include "supervisor/config.h"
#include "supervisor/frame_pace.h"
#include "supervisor/in_buffer.h"
#include "supervisor/job.h"
#include "supervisor/out_queue.h"
#include "supervisor/quarantine.h"
#include "supervisor/receive_budget.h"

namespace quern::supervisor {

// What a session needs of the server.
class SessionHost {
 public:
  [[nodiscard]] virtual const Kind* find_kind(std::string_view name) const noexcept = 0;
  [[nodiscard]] virtual JobStore& jobs() noexcept = 0;
  [[nodiscard]] virtual FdCloser& closer() noexcept = 0;
  [[nodiscard]] virtual Quarantine& quarantine() noexcept = 0;
  [[nodiscard]] virtual SharedBuffers& shared_buffers() noexcept = 0;
  [[nodiscard]] virtual ReceiveBudget& receive_budget() noexcept = 0;  // of large bodies
  [[nodiscard]] virtual ByteBudget& answers_budget() noexcept = 0;     // of what clients have not taken
  [[nodiscard]] virtual std::string kinds_document() const = 0;
  // Carries out an operator's request; the answer is a JSON document.
  [[nodiscard]] virtual boost::asio::awaitable<Result<std::string>> operate(wire::AdminOp op, std::string pool,
                                                                            std::uint64_t value) = 0;

 protected:
  ~SessionHost() = default;
};

enum class SessionRole { kClient, kOperator };

// Who is at the other end, by the kernel's word (SO_PEERCRED of unix(7)).
struct Peer {
  std::uint64_t id = 0;  // ours: counts connections, from 1
  pid_t pid = 0;
  uid_t uid = 0;
  SessionRole role = SessionRole::kClient;
};

class Session final : public JobClient {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  static constexpr std::uint64_t kOutBytesMax = 8U << 20;

  // `account`: the client's first Charge.
  Session(boost::asio::io_context& io, Socket socket, SessionHost& host, const LimitsConfig& limits, Peer peer,
          Charge account);
  ~Session();

  // Until the connection is over and its jobs are cancelled.
  [[nodiscard]] boost::asio::awaitable<void> run();

  // Tells the client that the server goes away, and closes once its jobs are answered.
  void shut_down();
  // Refuses the connection with `reason` and closes.
  void refuse(const Error& reason);

  [[nodiscard]] std::size_t jobs_in_flight() const noexcept { return jobs_.size(); }
  [[nodiscard]] const Peer& peer() const noexcept { return peer_; }
  [[nodiscard]] const std::string& client_name() const noexcept { return client_name_; }
  [[nodiscard]] std::int64_t connected_ns() const noexcept { return connected_ns_; }
  [[nodiscard]] const Holding& held() const noexcept { return received_.of_client(); }
  [[nodiscard]] std::size_t buffers() const noexcept { return buffers_.size(); }

 private:
  // JobClient
  void on_result(Job& job, const wire::ResultInfo& info, const ResultParts& result) override;
  void on_error(Job& job, Error error) override;
  void on_progress(Job& job, const wire::Progress& progress) override;
  [[nodiscard]] std::size_t stream_room(const Job& job) override;
  void on_stream(Job& job, ipc::ByteSpan first, ipc::ByteSpan second) override;

  // run()'s concurrent parts; the first to end ends the session
  [[nodiscard]] boost::asio::awaitable<void> read_requests();
  [[nodiscard]] boost::asio::awaitable<void> write_answers();
  [[nodiscard]] boost::asio::awaitable<void> until_peer_closed();
  [[nodiscard]] boost::asio::awaitable<void> until_too_slow();
  [[nodiscard]] boost::asio::awaitable<void> until_told_to_close();
  [[nodiscard]] boost::asio::awaitable<void> flush_at_the_end();

  // session.cpp: what keeps it from reading, and how slow it may be
  [[nodiscard]] bool must_not_read() const;
  [[nodiscard]] boost::asio::awaitable<bool> placed_pending();
  void give_up_pending();
  [[nodiscard]] std::optional<Error> too_slow(std::int64_t now) const;
  void account_answers();
  void charge_received(std::size_t fds);
  void close_received();

  // session_requests.cpp
  enum class Step { kHandled, kNeedBytes, kNeedRoom, kClose };
  [[nodiscard]] Step handle_next_frame();
  [[nodiscard]] Result<void> handle(const wire::FrameHeader& header, ipc::ByteSpan body);
  [[nodiscard]] Result<void> greet(const wire::FrameHeader& header, ipc::ByteSpan body);
  [[nodiscard]] Result<void> submit(const wire::FrameHeader& header, ipc::ByteSpan body);
  [[nodiscard]] Result<std::unique_ptr<Job>> begin_job(const wire::FrameHeader& header,
                                                       const Result<wire::Submit>& submit, std::uint64_t body_bytes);
  // The descriptors that came with a frame. What a job does not take of them is closed where it can't hold us up.
  struct FrameFds {
    std::vector<unique_fd> fds{};
    ForeignFd output_file{};
    Charge charge{};          // of all of them
    std::size_t missing = 0;  // announced, and not here
    std::size_t dropped = 0;  // closed as they came
  };
  [[nodiscard]] Result<std::uint64_t> payload_of(const FrameFds& came, const wire::JobOptions& options,
                                                 std::uint64_t body_bytes) const;
  // A job on its way to its pool.
  struct Pending {
    std::unique_ptr<Job> job{};
    wire::JobOptions options{};
    ReceiveBudget::Share share{};  // for a large body, until the job is in the pool's queue
    std::int64_t give_up_ns = 0;   // with a share, once the body is here: when to give that back
  };
  void hand_over(Pending pending);
  [[nodiscard]] bool place_pending();
  void drop(Pending& pending) noexcept;
  [[nodiscard]] Result<void> administer(const wire::FrameHeader& header, ipc::ByteSpan body);
  [[nodiscard]] boost::asio::awaitable<void> answer_admin(std::uint64_t request_id, wire::AdminOp op, std::string pool,
                                                          std::uint64_t value);

  // session_buffers.cpp
  [[nodiscard]] Result<void> on_buffer_request(const wire::FrameHeader& header, ipc::ByteSpan body);
  [[nodiscard]] Result<BufferRef> take_buffer(const wire::BufferRequest& request, FrameFds came);
  [[nodiscard]] Result<BufferRef> attach_buffer(const wire::BufferRequest& request);
  void send_attached(std::uint64_t request_id, const SharedBuffer& buffer, bool with_memfd);
  [[nodiscard]] Result<std::vector<BufferRef>> shared_for(const wire::JobOptions& options) const;
  [[nodiscard]] static Result<void> check_output_file(const ForeignFd& file);
  [[nodiscard]] FrameFds take_fds(std::size_t count, bool output_file);

  // session_large.cpp
  [[nodiscard]] Step begin_large(const wire::FrameHeader& header, ipc::ByteSpan begun);
  [[nodiscard]] Step continue_large();
  [[nodiscard]] boost::asio::awaitable<void> room_for_large();
  void refuse_large(Error reason);
  void finish_large();
  void abandon_large();

  // session_answers.cpp
  [[nodiscard]] Step close_with(const Error& error);
  void send_error(std::uint64_t request_id, const Error& error);
  void send_text(std::uint64_t request_id, std::string_view text);
  void send_inline_result(Job& job, const wire::ResultInfo& info, const ResultParts& result);
  void send_fd_result(Job& job, const wire::ResultInfo& info, const ResultParts& result);
  void resume_streams();
  void forget(const Job& job);

  boost::asio::io_context& io_;
  Socket socket_;
  SessionHost& host_;
  const LimitsConfig& limits_;
  Peer peer_;
  std::string client_name_;
  InBuffer in_;
  Charge received_;  // of the descriptors in it
  OutQueue out_;
  Charge unread_;         // of what is in that
  AsyncEvent out_ready_;  // out_ is no longer empty
  AsyncEvent relieved_;   // a job was answered, or out_ got shorter
  AsyncEvent told_to_close_;
  boost::unordered_flat_map<std::uint64_t, Job*> jobs_;  // by request id
  struct HeldBuffer {
    BufferRef buffer;
    Charge charge;            // of one that others have made: our descriptor stays open for this client too
    std::uint32_t times = 1;  // created or attached, and not released
  };
  boost::unordered_flat_map<std::uint64_t, HeldBuffer> buffers_;  // by id
  Pending pending_;                                               // a job that waits for a place in its pool's queue
  struct LargeSubmit {
    Pending pending{};  // without a job: it was refused
    BodyStream body;
    std::uint64_t request_id = 0;
    bool secret = false;
  };
  std::optional<LargeSubmit> large_;               // a job whose body is being received
  std::uint32_t operations_ = 0;                   // operators' requests being carried out
  std::size_t wanted_bytes_ = wire::kHeaderBytes;  // in in_, before there is anything to do
  FramePace pace_;                                 // of the frame being received
  std::uint64_t accounted_bytes_ = 0;              // in the answers budget
  // CLOCK_MONOTONIC nanoseconds; 0: not so now
  std::int64_t connected_ns_;
  std::int64_t taken_ns_ = 0;  // the client last took bytes of its answers, or they began to wait
  std::int64_t active_ns_;     // something last came or went
  bool streams_wait_ = false;  // one may have bytes that this client did not take
  bool consumed_secret_ = false;
  bool greeted_ = false;
  bool accepts_fds_ = false;
  bool closing_ = false;
};

}  // namespace quern::supervisor
