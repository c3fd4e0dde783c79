/* The protocol of the stream ring (ipc/stream_ring.h), for spin (https://spinroot.com): put, take, wait for room,
 * wake, ask to stop, the end of a job with bytes left, death.
 *
 * One supervisor, one worker, JOBS jobs in a row with BYTES bytes each, a ring of ROOM bytes. The reader
 * stops taking at most PAUSES times, and goes on; the supervisor asks at most STOPS jobs to stop; the worker dies at most
 * DEATHS times, between any two of its steps.
 *
 * Memory: store buffers as in channel.pml. In them go the words whose order is argued: stream_produced,
 * stream_consumed, stream_waiting, supervisor_sleeping, completion_tail, cancel. The bytes themselves are
 * numbers, visible at once, which is no later than the count that covers them.
 *
 * Checked: bytes come in order, each once, of the job that they are said to be of, and never one that was not made;
 * no byte is written over before it was taken; a job that completes has had all its bytes taken; nobody sleeps
 * for ever (no invalid end state).
 *
 * MUTANT_...: one wrong step each, which the check must find; see check-model. */

#ifndef ROOM
#define ROOM 2
#endif
#ifndef JOBS
#define JOBS 2
#endif
#ifndef BYTES
#define BYTES 3
#endif
#ifndef REST
#define REST 1 /* that a job may leave in the ring */
#endif
#ifndef PAUSES
#define PAUSES 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

#define NOBODY 255

/* ---- The channel */
byte ring[ROOM];          /* the byte's number, counted from the channel's beginning */
byte stream_position;
byte produced;
byte consumed;
bit waiting;
bit supervisor_sleeping;
byte completion_tail;
byte cancel;              /* 1 + the position asked to stop */

/* ---- What the kernel keeps */
bit futex_asleep; /* the worker sleeps in FUTEX_WAIT(stream_waiting, 1) */
bit eventfd;
bit worker_exited;
bit alive = 1;

/* ---- The reader: whether the session takes bytes now */
bit takes = 1;

/* ---- Ghosts */
byte owner_of[JOBS * BYTES + 1]; /* whose byte a number is */
byte taken_of[JOBS];
byte made_of[JOBS];
bit stopped[JOBS];
byte deaths;
byte stops;
byte pauses;

mtype = { PRODUCED, CONSUMED, WAITING, SUPERVISOR_SLEEPING, COMPLETION_TAIL, CANCEL };
chan supervisors_stores = [3] of { mtype, byte };
chan workers_stores = [3] of { mtype, byte };

inline arrive(which, value) {
  if
  :: which == PRODUCED -> produced = value
  :: which == CONSUMED -> consumed = value
  :: which == WAITING -> waiting = value
  :: which == SUPERVISOR_SLEEPING -> supervisor_sleeping = value
  :: which == COMPLETION_TAIL -> completion_tail = value
  :: which == CANCEL -> cancel = value
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

/* ipc/doorbell.cpp: ring_supervisor */
inline ring_supervisor() {
  if
  :: supervisor_sleeping == 0 -> skip
  :: else ->
    atomic {
      empty(workers_stores);
      if
      :: supervisor_sleeping == 1 -> supervisor_sleeping = 0; rings = 1
      :: else -> rings = 0
      fi
    };
    if
    :: rings -> eventfd = 1
    :: else -> skip
    fi
  fi
}

/* worker/stream_output.cpp: wait_for_room; `stop`: it threw */
inline wait_for_room(least) {
  do
  :: seen = consumed;
    if
    :: ROOM - (made - seen) >= least -> break
    :: else ->
      if
      :: cancel == me + 1 -> stop = 1; break
      :: else -> skip
      fi;
      /* wait_for_stream_room */
      store_seq_cst(workers_stores, WAITING, 1);
#ifdef MUTANT_SLEEP_WITHOUT_RECHECK
      if
      :: false -> skip
#else
      if
      :: consumed != seen || cancel == me + 1 -> store_relaxed(workers_stores, WAITING, 0)
#endif
      :: else ->
        atomic {
          empty(workers_stores);
          if
          :: waiting == 1 -> futex_asleep = 1
          :: else -> skip
          fi
        };
        futex_asleep == 0
      fi
    fi
  od
}

active proctype Worker() {
  byte me;   /* the job's position */
  byte made; /* StreamProducer::produced_ */
  byte seen;
  byte n;
  bit stop;
  bit rings;
  {
    do
    :: me == JOBS -> break
    :: me < JOBS ->
      stop = 0;
#ifndef MUTANT_BEGIN_AT_ONCE
      wait_for_room(ROOM); /* StreamOutput: an earlier job's bytes */
#endif
      if
      :: stop -> skip
      :: else -> stream_position = me /* StreamProducer::begin */
      fi;
      n = 0;
      do
      :: stop || n == BYTES -> break
      :: !stop && n < BYTES ->
        wait_for_room(1);
        if
        :: stop -> skip
        :: else ->
          d_step {
            assert(made - consumed < ROOM); /* else a byte that was not taken is written over */
            ring[made % ROOM] = made;
            owner_of[made] = me;
            made++;
            made_of[me]++;
            n++
          };
          store_seq_cst(workers_stores, PRODUCED, made);
          ring_supervisor()
        fi
      od;
      if
      :: stop -> skip
      :: else -> wait_for_room(ROOM - REST) /* StreamOutput::finish */
      fi;
      /* CompletionProducer::complete */
      store_seq_cst(workers_stores, COMPLETION_TAIL, me + 1);
      ring_supervisor();
      me++
    od;
    atomic { worker_exited = 1; alive = 0 }
  } unless { !alive }
}

active proctype Killer() {
end:
  do
  :: atomic { deaths < DEATHS && alive -> deaths++; alive = 0; worker_exited = 1; futex_asleep = 0 }
  od
}

/* ipc/doorbell.cpp: ring_stream */
inline ring_stream() {
  if
#ifndef MUTANT_NO_RING
  :: waiting == 1 ->
    store_seq_cst(supervisors_stores, WAITING, 0);
    futex_asleep = 0 /* FUTEX_WAKE */
#endif
  :: else -> skip
  fi
}

/* supervisor/worker.cpp: pass_on_stream; StreamConsumer::look and pop */
inline pass_on(all) {
  have = produced;
  assert(have - took <= ROOM);
  looked = have;
  if
  :: have != took && stream_position == job && (all || takes) ->
    do
    :: took == have -> break
    :: took < have ->
      d_step {
        assert(ring[took % ROOM] == took);
        assert(owner_of[took] == job);
        taken_of[job]++;
        took++
      }
    od;
    store_seq_cst(supervisors_stores, CONSUMED, took);
    ring_stream()
  :: else -> skip
  fi
}

active proctype Supervisor() {
  byte job;    /* the running one: the oldest that is not complete */
  byte took;   /* StreamConsumer::consumed_ */
  byte have;
  byte looked; /* StreamConsumer::seen_ */
  do
  :: job == JOBS -> break
  :: job < JOBS && worker_exited ->
    empty(workers_stores);
    /* Worker::mind: its last answers, each with what is left of it */
    do
    :: completion_tail > job ->
      pass_on(1);
      assert(stopped[job] || taken_of[job] == BYTES);
      job++
    :: else -> break
    od;
    break
  :: job < JOBS && completion_tail > job -> /* Worker::deliver */
    have = produced;
    assert(stopped[job] || have - took <= REST || stream_position != job);
#ifndef MUTANT_LEAVE_THE_REST
    pass_on(1);
#endif
    assert(taken_of[job] == made_of[job]);
    assert(stopped[job] || taken_of[job] == BYTES);
    job++;
    /* Worker::watch_completions looks after each turn of answers: what was left there because of its position
     * may be the next job's */
    if
#ifndef MUTANT_LOOK_AT_NEWS_ONLY
    :: job < JOBS -> pass_on(0)
#endif
    :: else -> skip
    fi
  :: job < JOBS && produced != looked -> pass_on(0)
  /* The session's answers are taken, or are not */
  :: takes == 1 && job < JOBS && pauses < PAUSES -> takes = 0; pauses++
  :: takes == 0 && job < JOBS ->
    takes = 1;
#ifndef MUTANT_FORGET_TO_RESUME
    pass_on(0) /* Session::resume_streams */
#endif
  /* Worker::request_stop */
  :: stops < STOPS && job < JOBS && !stopped[job] ->
    stops++;
    stopped[job] = 1;
    store_seq_cst(supervisors_stores, CANCEL, job + 1);
    ring_stream()
  /* Nothing to do: watch_completions goes to sleep. The reader may come back while it sleeps. */
  :: job < JOBS && !worker_exited && completion_tail == job && produced == looked ->
    store_seq_cst(supervisors_stores, SUPERVISOR_SLEEPING, 1);
    if
#ifdef MUTANT_SLEEP_ON_BYTES
    :: completion_tail == job ->
#else
    :: completion_tail == job && produced == looked ->
#endif
      if
      :: eventfd == 1 || worker_exited -> eventfd = 0
      :: takes == 0 -> takes = 1;
#ifndef MUTANT_FORGET_TO_RESUME
        pass_on(0)
#endif
      fi
    :: else -> skip
    fi;
    store_relaxed(supervisors_stores, SUPERVISOR_SLEEPING, 0)
  od;
  worker_exited;
finished:
  skip
}
