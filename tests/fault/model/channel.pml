/* The protocol of one channel, for spin (https://spinroot.com): claim, revoke, complete, sleep, wake, death.
 *
 * One supervisor, one worker at a time, SLOTS slots, JOBS jobs with ATTEMPTS attempts each; at most REVOKES
 * revokes tried and DEATHS deaths of the worker, between any two of its steps. Timeouts are left out:
 * in the real thing they end what is stuck, and would hide it here.
 *
 * Memory: each side has a store buffer, first in first out, that drains whenever it likes (x86's TSO: Sewell
 * et al., "x86-TSO: A Rigorous and Usable Programmer's Model", CACM 53(7), 2010). In it go the words whose
 * order is argued in ipc/doorbell.h: both tails, both sleeper words, lifecycle. A seq_cst store waits until
 * its own buffer is empty; a compare-and-swap does so before it acts. Descriptor words and completion fields
 * become visible at once, which is no later than the tail that covers them. A dead worker's stores
 * still arrive: the supervisor looks after waitid, when they have.
 *
 * Checked: no job is lost (the run ends with each answered), none is answered twice or run after it was
 * revoked, a job is begun at most ATTEMPTS times, after a death at most one job is in doubt and it is the
 * oldest, nobody sleeps for ever (no invalid end state), and everything ends (ltl ends, weak fairness).
 *
 * MUTANT_...: one wrong step each, which the check must find; see check-model. */

#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef JOBS
#define JOBS 2
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif
#ifndef REVOKES
#define REVOKES 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

#define SLOT(p) ((p) % SLOTS)
#define NOBODY 255

/* Descriptor.word: position << 2 | state (ipc/submission_ring.h) */
#define READY(p) ((p) * 4 + 1)
#define TAKEN(p) ((p) * 4 + 2)
#define REVOKED(p) ((p) * 4 + 3)

/* ---- The channel */
byte word[SLOTS];
byte submission_tail;
byte completion_tail;
bit worker_sleeping;
bit supervisor_sleeping;
bit lifecycle;            /* 1: kRetire */
byte completion_of[SLOTS]; /* the job it answers; NOBODY: kSkipped */
byte descriptor_of[SLOTS]; /* the job in the slot's descriptor */

/* ---- What the kernel keeps */
bit futex_asleep; /* the worker sleeps in FUTEX_WAIT */
bit eventfd;
bit worker_exited; /* the pidfd is readable */
byte alive = 1;    /* the incarnation that lives; 0: none */

/* ---- The supervisor's private records (supervisor/job.h, supervisor/worker.h) */
#define QUEUED 0
#define PUBLISHED 1
#define ANSWERED 2
byte state[JOBS];
byte begun_times[JOBS];  /* Job.attempts */
byte published_at[SLOTS]; /* Worker::jobs_: the job of a slot, or NOBODY */
byte next;                /* SubmissionProducer::next_ */
byte consumed;            /* CompletionConsumer */
byte answered;

/* ---- Ghosts: for the assertions only */
byte answers[JOBS];
byte running = NOBODY; /* the job that the worker is inside of */

byte deaths;
byte revokes;

mtype = { SUBMISSION_TAIL, COMPLETION_TAIL, WORKER_SLEEPING, SUPERVISOR_SLEEPING, LIFECYCLE };
chan supervisors_stores = [3] of { mtype, byte };
chan workers_stores = [3] of { mtype, byte };

inline arrive(which, value) {
  if
  :: which == SUBMISSION_TAIL -> submission_tail = value
  :: which == COMPLETION_TAIL -> completion_tail = value
  :: which == WORKER_SLEEPING -> worker_sleeping = value
  :: which == SUPERVISOR_SLEEPING -> supervisor_sleeping = value
  :: which == LIFECYCLE -> lifecycle = value
  fi
}

active proctype Memory() {
  mtype which;
  byte value;
end:
  do
  :: atomic { supervisors_stores ? which, value -> arrive(which, value) }
  :: atomic { workers_stores ? which, value -> arrive(which, value) }
  od
}

inline store_relaxed(buffer, which, value) { buffer ! which, value }

inline store_seq_cst(buffer, which, value) {
  buffer ! which, value;
#ifndef MUTANT_RELAXED_DOORBELL
  empty(buffer)
#endif
}

/* ---- worker/loop.cpp: run_worker */
proctype Worker(byte me) {
  byte head;
  bit retire;
  bit revoked;
  bit seen;
  {
    do
    :: retire = lifecycle; /* told_to_retire: before the claim */
      if
      :: submission_tail == head -> /* SubmissionConsumer::empty */
        if
        :: retire -> break
        :: else -> skip
        fi;
        /* wait_for_submission */
        store_seq_cst(workers_stores, WORKER_SLEEPING, 1);
#ifdef MUTANT_SLEEP_WITHOUT_RECHECK
        seen = 0;
#else
        seen = (submission_tail != head || lifecycle == 1);
#endif
        if
        :: seen -> store_relaxed(workers_stores, WORKER_SLEEPING, 0)
        :: else -> /* FUTEX_WAIT(worker_sleeping, 1), which looks again under the kernel's lock */
          atomic {
            empty(workers_stores);
            if
            :: worker_sleeping == 1 -> futex_asleep = 1
            :: else -> skip
            fi
          };
          futex_asleep == 0
        fi
      :: else ->
        /* SubmissionConsumer::claim: one CAS */
        atomic {
          empty(workers_stores);
          if
          :: word[SLOT(head)] == READY(head) ->
            word[SLOT(head)] = TAKEN(head);
            revoked = 0;
            running = descriptor_of[SLOT(head)];
            assert(state[running] == PUBLISHED && published_at[SLOT(head)] == running)
          :: else -> revoked = 1
          fi
        };
        /* JobRun::run, or passing over a revoked descriptor; then its Completion's fields */
        if
        :: revoked -> completion_of[SLOT(head)] = NOBODY
        :: else -> completion_of[SLOT(head)] = running
        fi;
        head++;
        /* CompletionProducer::complete */
        atomic { running = NOBODY; workers_stores ! COMPLETION_TAIL, head };
#ifndef MUTANT_RELAXED_DOORBELL
        empty(workers_stores);
#endif
        /* ring_supervisor */
        if
        :: supervisor_sleeping == 0 -> skip
        :: else ->
          atomic {
            empty(workers_stores);
            if
            :: supervisor_sleeping == 1 -> supervisor_sleeping = 0; seen = 1
            :: else -> seen = 0
            fi
          };
          if
          :: seen -> eventfd = 1
          :: else -> skip
          fi
        fi
      fi
    od;
    atomic { worker_exited = 1; alive = 0 }
  } unless { alive != me }
}

/* SIGKILL, between any two steps of the worker. */
active proctype Killer() {
end:
  do
  :: atomic { deaths < DEATHS && alive != 0 -> deaths++; alive = 0; worker_exited = 1; futex_asleep = 0 }
  od
}

/* ---- ipc/doorbell.cpp: ring_worker */
inline ring_worker() {
  if
#ifndef MUTANT_NO_RING
  :: worker_sleeping == 1 ->
    store_seq_cst(supervisors_stores, WORKER_SLEEPING, 0);
    futex_asleep = 0 /* FUTEX_WAKE */
#endif
  :: else -> skip
  fi
}

inline answer(j) {
  answers[j]++;
  assert(answers[j] == 1);
  state[j] = ANSWERED;
  answered++
}

/* supervisor/worker.cpp: drain and deliver, one completion */
inline consume() {
  d_step {
    job = published_at[SLOT(consumed)];
    assert(completion_of[SLOT(consumed)] == job); /* else the worker lied: kChannelCorrupt */
#ifndef MUTANT_RETRY_COMPLETED
    published_at[SLOT(consumed)] = NOBODY;
#endif
    consumed++;
    if
    :: job != NOBODY -> begun_times[job]++; answer(job)
    :: else -> skip
    fi
  }
}

/* supervisor/pool_dispatch.cpp: settle_dead, for the slot at `position` */
inline settle_dead(position) {
  job = published_at[SLOT(position)];
  if
  :: job == NOBODY -> skip
#ifdef MUTANT_RETRY_COMPLETED
  :: job != NOBODY && (true) ->
#else
  :: job != NOBODY && word[SLOT(position)] == READY(position) -> state[job] = QUEUED /* no attempt counted */
  :: job != NOBODY && word[SLOT(position)] != READY(position) ->
    assert(position == consumed); /* in doubt: only the oldest */
#endif
    begun_times[job]++;
    if
    :: begun_times[job] < ATTEMPTS -> state[job] = QUEUED
    :: else -> answer(job)
    fi
  fi;
  published_at[SLOT(position)] = NOBODY
}

/* A fresh channel and a fresh worker (supervisor/fleet.cpp: spawn_one) */
inline new_worker() {
  i = 0;
  do
  :: i < SLOTS -> word[i] = 0; published_at[i] = NOBODY; completion_of[i] = NOBODY; descriptor_of[i] = NOBODY; i++
  :: else -> break
  od;
  submission_tail = 0;
  completion_tail = 0;
  worker_sleeping = 0;
  supervisor_sleeping = 0;
  lifecycle = 0;
  next = 0;
  consumed = 0;
  eventfd = 0;
  worker_exited = 0;
  running = NOBODY;
  incarnation++;
  alive = incarnation;
  run Worker(incarnation)
}

inline find_queued() {
  d_step {
    i = 0;
    do
    :: i < JOBS && state[i] != QUEUED -> i++
    :: else -> break
    od
  }
}

active proctype Supervisor() {
  byte i;
  byte job;
  byte position;
  byte incarnation;
  bit succeeded;
  atomic { new_worker() };
  do
  :: answered == JOBS -> break
  :: answered < JOBS ->
    find_queued();
    if
    /* Worker::publish */
    :: i < JOBS && next - consumed < SLOTS && !worker_exited ->
      descriptor_of[SLOT(next)] = i;
      atomic { state[i] = PUBLISHED; published_at[SLOT(next)] = i; word[SLOT(next)] = READY(next); next++ };
      store_seq_cst(supervisors_stores, SUBMISSION_TAIL, next);
      ring_worker()
    /* Worker::revoke, of any published job: the newest to steal it, each to cancel or to take it back */
    :: revokes < REVOKES && next != consumed && !worker_exited ->
      atomic {
        empty(supervisors_stores);
        revokes++;
        select(position : 0 .. SLOTS - 1);
        position = consumed + position;
        succeeded = 0;
        if
        :: position < next && published_at[SLOT(position)] != NOBODY ->
#ifdef MUTANT_REVOKE_IS_A_STORE
          word[SLOT(position)] = REVOKED(position); succeeded = 1
#else
          if
          :: word[SLOT(position)] == READY(position) -> word[SLOT(position)] = REVOKED(position); succeeded = 1
          :: else -> skip
          fi
#endif
        :: else -> skip
        fi;
        if
        :: succeeded ->
          job = published_at[SLOT(position)];
          assert(running != job);
          published_at[SLOT(position)] = NOBODY;
          state[job] = QUEUED
        :: else -> skip
        fi
      }
    :: consumed < completion_tail -> consume()
    /* The worker is gone (Process::exit): its last answers, then what it held (Pool::on_dead) */
    :: worker_exited ->
      empty(workers_stores); /* waitid has returned: what it stored is there */
      empty(supervisors_stores);
#ifndef MUTANT_NO_DRAIN_AFTER_DEATH
      do
      :: consumed < completion_tail -> consume()
      :: else -> break
      od;
#endif
      atomic {
#ifdef MUTANT_RETRY_COMPLETED
        position = 0;
#else
        position = consumed;
#endif
        do
        :: position < next -> settle_dead(position); position++
        :: else -> break
        od;
        if
        :: answered < JOBS -> new_worker()
        :: else -> skip
        fi
      }
    /* Nothing to publish, nothing to consume: Worker::watch_completions goes to sleep */
    :: (i == JOBS || next - consumed == SLOTS) && consumed >= completion_tail && !worker_exited ->
      store_seq_cst(supervisors_stores, SUPERVISOR_SLEEPING, 1);
      if
      :: completion_tail == consumed ->
        (eventfd == 1 || worker_exited);
        eventfd = 0
      :: else -> skip
      fi;
      if
      :: !worker_exited -> store_relaxed(supervisors_stores, SUPERVISOR_SLEEPING, 0)
      :: else -> skip
      fi
    fi
  od;
  /* Worker::retire */
  if
  :: !worker_exited ->
    store_seq_cst(supervisors_stores, LIFECYCLE, 1);
    ring_worker();
    worker_exited
  :: else -> skip
  fi;
  d_step {
    i = 0;
    do
    :: i < JOBS -> assert(answers[i] == 1 && begun_times[i] <= ATTEMPTS); i++
    :: else -> break
    od
  };
finished:
  skip
}

#ifdef LIVENESS
ltl ends { <> (Supervisor@finished) }
#endif
