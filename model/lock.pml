/*
 * The lock protocol with ttl and take-over, as docs/protocol.md describes it.
 *
 * There is one lock file, and there are three or four clients, each of which acquires once, may commit once, and
 * releases. Any of them may be killed at any step; one with a ttl may be stopped at any step, for a time or for good.
 * A client that is merely slow is one that the scheduler leaves out.
 *
 * The same text is both protocols. On POSIX a "place" is an inode that the lock file's name may lead to, and each has
 * a record of its own. With -DWINDOWS a place is a locked byte, BASE + epoch, and there is one record for all of them.
 * `current` is the inode at the name, or the epoch in the record.
 *
 * -DMISTAKE_... plants one mistake. scripts/model.mjs checks the protocol and every mistake.
 */

#ifndef FIRST
#define FIRST WITH_TTL
#endif
#ifndef SECOND
#define SECOND WITH_TTL
#endif
#ifndef THIRD
#define THIRD PLAIN
#endif
#ifdef FOURTH
#define CLIENTS 4
#else
#define CLIENTS 3
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef STOPS
#define STOPS 1
#endif

#define WITH_TTL 1 /* exclusive, and gives signs of life */
#define PLAIN 2    /* exclusive, without a ttl */
#define SHARED 3
#define OUTSIDER 4 /* takes the kernel's lock, as flock(1) does, and knows nothing else of this */

#define NOBODY 0
#define SIZE 5 /* clients are numbered from 1, and there are up to four */
#define PLACES (CLIENTS + 1)
#define BIT(client) (1 << (client))

/* A tick is half a ttl. A holder that runs gives a sign of life in each, so one that gave none in two is late. */
#define TTL 2

#define FOR_A_TIME 1
#define FOR_GOOD 2

#ifdef WINDOWS
#define RECORD_OF(place) 0
#else
#define RECORD_OF(place) (place)
#endif
#define RECORD(place) record[RECORD_OF(place)]

typedef Record {
  byte holder;
  byte token;
  bool ttl /* whether it names one: all are as long */
}

/* The disk and the kernel. */
byte current = 0;
Record record[PLACES];
byte exclusive[PLACES]; /* the client that has the kernel's lock */
byte shared[PLACES];    /* a bit for each client that has it shared */
byte guard = NOBODY;
byte places = 1; /* so many have been made */

/* The clients. */
byte kind[SIZE];
bool dead[SIZE];
byte stopped[SIZE];
bool done[SIZE];
bool held[SIZE];  /* the lock is its own, for all that it knows, and it is not leaving yet */
byte place[SIZE]; /* where it waits, or holds */
byte age[SIZE];   /* ticks since its last sign of life */
bool late[SIZE];  /* a ttl went by without one, and it has not been confirmed under the guard since */

/* What each has seen while it waited. */
bool observing[SIZE];
bool same_record[SIZE];
bool same_sign[SIZE];
byte elapsed[SIZE];

/* What was granted, committed and told, and how much trouble there was. */
byte last_token = 0;
byte last_commit = 0;
byte told = 0;
byte kills = 0;
byte stops = 0;

#define FREE_FOR(client, where) \
  (exclusive[where] == NOBODY && (kind[client] == SHARED || shared[where] == 0))

/* Only one that hangs is taken from. A process that has ended does not: whoever has its lock has not written a record. */
#ifdef MISTAKE_TAKES_FROM_CLEARED_RECORD
#define MAY_BE_TAKEN(where) (RECORD(where).ttl)
#else
#ifdef MISTAKE_TAKES_FROM_THE_DEAD
#define MAY_BE_TAKEN(where) (RECORD(where).ttl && RECORD(where).holder != NOBODY)
#else
#define MAY_BE_TAKEN(where) (RECORD(where).ttl && RECORD(where).holder != NOBODY && !dead[RECORD(where).holder])
#endif
#endif

#ifdef MISTAKE_COMPARES_RECORD_ONLY
#define UNCHANGED(client) same_record[client]
#else
#ifdef MISTAKE_COMPARES_SIGN_ONLY
#define UNCHANGED(client) same_sign[client]
#else
#define UNCHANGED(client) (same_record[client] && same_sign[client])
#endif
#endif

#ifdef MISTAKE_GRANT_WITHOUT_GUARD
#define NEEDS_GUARD(where) false
#else
#ifdef MISTAKE_GRANT_ON_CLEARED_WITHOUT_GUARD
#define NEEDS_GUARD(where) (RECORD(where).ttl && RECORD(where).holder != NOBODY)
#else
#define NEEDS_GUARD(where) (RECORD(where).ttl)
#endif
#endif

/* ---- Locks ---- */

inline lock_place(client, where) {
  if
  :: kind[client] == SHARED -> shared[where] = shared[where] | BIT(client)
  :: else -> exclusive[where] = client
  fi
}

inline unlock_place(client, where) {
  if
  :: exclusive[where] == client -> exclusive[where] = NOBODY
  :: else -> skip
  fi;
  shared[where] = shared[where] & ~BIT(client)
}

inline take_guard(client) { atomic { guard == NOBODY -> guard = client } }

inline leave_guard(client) {
  if
  :: guard == client -> guard = NOBODY
  :: else -> skip
  fi
}

/* ---- What the others see ---- */

inline stop_observing(client) {
  observing[client] = false;
  same_record[client] = false;
  same_sign[client] = false;
  elapsed[client] = 0
}

/* The file's time moves. */
inline give_sign_of_life(where) {
  observer = 1;
  do
  :: observer <= CLIENTS ->
     same_sign[observer] = same_sign[observer] && (RECORD_OF(place[observer]) != RECORD_OF(where));
     observer++
  :: else -> break
  od;
  observer = 0
}

/* The clock that stamps a file may be coarse, so that a write does not move the file's time. */
inline write_record(where, new_holder, new_token, new_ttl) {
  RECORD(where).holder = new_holder;
  RECORD(where).token = new_token;
  RECORD(where).ttl = new_ttl;
#ifdef WINDOWS
  current = where; /* the epoch is in the record */
#endif
  observer = 1;
  do
  :: observer <= CLIENTS ->
     same_record[observer] = same_record[observer] && (RECORD_OF(place[observer]) != RECORD_OF(where));
     observer++
  :: else -> break
  od;
  observer = 0
}

/* ---- What is promised ---- */

/* Held, and not lost: its check of the identity would pass. */
#define HOLDS(client) (held[client] && !dead[client] && place[client] == current)

/* No two holders that exclude each other; the kernel and the record agree with every one; and a record never makes a
 * shared holder look like one with a ttl. */
inline check_holders() {
  one = 1;
  do
  :: one <= CLIENTS ->
     if
     :: HOLDS(one) && kind[one] == SHARED ->
        assert((shared[current] & BIT(one)) != 0);
        assert(RECORD(current).holder == NOBODY || !RECORD(current).ttl)
     :: HOLDS(one) && kind[one] != SHARED ->
        assert(exclusive[current] == one);
        assert(kind[one] == OUTSIDER || RECORD(current).holder == one);
        other = 1;
        do
        :: other <= CLIENTS -> assert(other == one || !HOLDS(other)); other++
        :: else -> break
        od;
        other = 0
     :: else -> skip
     fi;
     one++
  :: else -> break
  od;
  one = 0
}

/* Nobody is robbed who has no ttl, or who was never late since it was last confirmed. */
inline check_victims(taker) {
  one = 1;
  do
  :: one <= CLIENTS ->
     assert(one == taker || !HOLDS(one) || kind[one] == OUTSIDER || (kind[one] == WITH_TTL && late[one]));
     one++
  :: else -> break
  od;
  one = 0
}

/* Nobody makes up its mind to take the lock from an outsider. (One that gets the lock only after that, from a holder that
 * woke up and released, cannot be saved: it does not take the guard.) */
inline check_outsiders() {
  one = 1;
  do
  :: one <= CLIENTS -> assert(!HOLDS(one) || kind[one] != OUTSIDER); one++
  :: else -> break
  od;
  one = 0
}

/* Tokens are unique and grow. */
inline grant_token(value) {
  assert(value > last_token);
  last_token = value
}

/* Commits come in the order of their tokens, and none from a holder that has lost its lock. */
inline check_commit(client) {
  assert(place[client] == current);
  assert(token >= last_commit);
  last_commit = token
}

/* A holder's end without release is told once. */
inline tell_predecessor() {
  if
  :: predecessor != NOBODY ->
     assert((told & BIT(predecessor)) == 0);
     told = told | BIT(predecessor);
     predecessor = NOBODY
  :: else -> skip
  fi
}

/* ---- A client ---- */

proctype Client(byte id) provided (!dead[id] && stopped[id] == 0) {
  byte observer, one, other, token, fresh, predecessor;
  bool committed;

open:
  place[id] = current;

wait:
  if
  :: d_step { FREE_FOR(id, place[id]) -> lock_place(id, place[id]); stop_observing(id) };
     goto enter
#ifndef MISTAKE_WAITS_WITHOUT_LOOKING
  :: atomic { place[id] != current -> stop_observing(id); goto open } /* the slow check */
#endif
  :: d_step {
       kind[id] != OUTSIDER && !observing[id] && !FREE_FOR(id, place[id]) && MAY_BE_TAKEN(place[id]) ->
       observing[id] = true;
       same_record[id] = true;
       same_sign[id] = true };
     goto wait
  :: d_step { observing[id] && !UNCHANGED(id) -> stop_observing(id) };
     goto wait
#ifndef MISTAKE_NEVER_TAKES_OVER
  :: atomic { observing[id] && elapsed[id] >= TTL && UNCHANGED(id) -> goto take_over }
#endif
  fi;

enter:
  if
  :: atomic { kind[id] == OUTSIDER -> held[id] = true; goto unlock }
  :: else -> skip
  fi;
  if
  :: NEEDS_GUARD(place[id]) -> take_guard(id)
  :: else -> skip
  fi;
  /* To tell of a predecessor without a ttl is no reason to wait. */
  if
  :: atomic { kind[id] == SHARED && RECORD(place[id]).holder != NOBODY && guard == NOBODY -> guard = id }
  :: else -> skip
  fi;
#ifndef MISTAKE_ENTERS_UNCHECKED
  if
  :: atomic { place[id] != current -> unlock_place(id, place[id]); leave_guard(id); goto open }
  :: else -> skip
  fi;
#endif
  if
  :: d_step {
       kind[id] == SHARED ->
#ifndef MISTAKE_SHARED_LEAVES_RECORD
       if
       :: guard == id ->
          predecessor = RECORD(place[id]).holder;
          write_record(place[id], NOBODY, RECORD(place[id]).token, false)
       :: else -> skip
       fi;
#endif
       held[id] = true;
       check_holders() }
  :: d_step {
       kind[id] != SHARED ->
       predecessor = RECORD(place[id]).holder;
       token = RECORD(place[id]).token + 1;
       write_record(place[id], id, token, (kind[id] == WITH_TTL));
       grant_token(token);
       held[id] = true;
       check_holders() }
  fi;
  d_step { leave_guard(id) };

hold:
  if
  :: predecessor != NOBODY -> goto give_back_untold
  :: d_step { kind[id] != SHARED && !committed -> tell_predecessor() };
     goto commit
  :: atomic { tell_predecessor(); goto release }
  fi;

commit:
#ifndef MISTAKE_COMMIT_WITHOUT_GUARD
  if
  :: kind[id] == WITH_TTL -> take_guard(id)
  :: else -> skip
  fi;
#endif
#ifndef MISTAKE_COMMIT_UNCHECKED
  if
  :: atomic { place[id] != current -> leave_guard(id); goto release }
  :: else -> skip
  fi;
#endif
  d_step { check_commit(id); committed = true };
  d_step { leave_guard(id) };
  goto hold;

give_back_untold: /* the caller is gone, and the predecessor's end is for the next holder to be told */
#ifdef WINDOWS
  if
  :: kind[id] == WITH_TTL -> take_guard(id)
  :: else -> skip
  fi;
  if
  :: atomic { place[id] != current -> held[id] = false; leave_guard(id); goto unlock }
  :: else -> skip
  fi;
#endif
  atomic {
    if
    :: kind[id] == SHARED -> token = RECORD(place[id]).token
    :: else -> skip
    fi;
    held[id] = false;
#ifdef MISTAKE_UNTOLD_WITH_TTL_OF_PREDECESSOR
    write_record(place[id], predecessor, token, (kind[predecessor] == WITH_TTL));
#else
    write_record(place[id], predecessor, token, (kind[id] == WITH_TTL));
#endif
    check_holders() };
  d_step { leave_guard(id) };
  goto unlock;

release:
#ifdef WINDOWS
#ifndef MISTAKE_CLEARS_WITHOUT_GUARD
  if
  :: kind[id] == WITH_TTL -> take_guard(id)
  :: else -> skip
  fi;
#endif
#ifndef MISTAKE_CLEARS_UNCHECKED
  if
  :: atomic { place[id] != current -> held[id] = false; leave_guard(id); goto unlock }
  :: else -> skip
  fi;
#endif
#endif
  atomic {
    held[id] = false;
    if
    :: kind[id] != SHARED ->
#ifdef MISTAKE_CLEARING_FORGETS_TTL
       write_record(place[id], NOBODY, token, false)
#else
       write_record(place[id], NOBODY, token, (kind[id] == WITH_TTL))
#endif
    :: else -> skip
    fi;
    check_holders() };
  d_step { leave_guard(id) };

unlock:
  atomic {
    held[id] = false;
    unlock_place(id, place[id]);
    done[id] = true;
    place[id] = 0;
    age[id] = 0;
    late[id] = false;
    token = 0;
    committed = false;
    predecessor = 0;
    goto end };

take_over:
#ifndef MISTAKE_TAKE_OVER_WITHOUT_GUARD
  take_guard(id);
#endif
#ifndef MISTAKE_TAKE_OVER_UNCHECKED
  if
  :: atomic {
       !(place[id] == current && UNCHANGED(id) && MAY_BE_TAKEN(place[id])) ->
       leave_guard(id);
       stop_observing(id);
       goto wait }
  :: d_step { place[id] == current && UNCHANGED(id) && MAY_BE_TAKEN(place[id]) -> check_outsiders() }
  fi;
#endif
  d_step {
    stop_observing(id);
    token = RECORD(place[id]).token + 1;
#ifdef WINDOWS
    fresh = current + 1;
    assert(FREE_FOR(id, fresh));
#else
    fresh = places; /* a new file, whose name nobody knows yet */
    places++;
    record[fresh].holder = (kind[id] == SHARED -> NOBODY : id);
    record[fresh].token = token;
    record[fresh].ttl = (kind[id] == WITH_TTL);
#endif
#ifndef MISTAKE_PUBLISHES_UNLOCKED
    lock_place(id, fresh)
#endif
    };
  d_step {
    check_victims(id);
#ifdef WINDOWS
    write_record(fresh, (kind[id] == SHARED -> NOBODY : id), token, (kind[id] == WITH_TTL));
#else
    current = fresh;
#endif
    place[id] = fresh;
    fresh = 0;
    if
    :: kind[id] != SHARED -> grant_token(token)
    :: else -> skip
    fi;
#ifndef MISTAKE_PUBLISHES_UNLOCKED
    held[id] = true;
    check_holders()
#endif
    };
#ifdef MISTAKE_PUBLISHES_UNLOCKED
  d_step { FREE_FOR(id, place[id]) -> lock_place(id, place[id]); held[id] = true; check_holders() };
#endif
  d_step { leave_guard(id) };
  goto hold;

end:
  skip
}

/* ---- The rest of the world ---- */

/* When nothing moves any more, everybody is done, or is waiting for a client that is stopped for good where that cannot
 * be helped: inside of the guard, or with the kernel's lock and without a record that says so. An outsider never takes
 * over. */
inline check_progress() {
  one = 1;
  excused = false;
  do
  :: one <= CLIENTS ->
     excused = excused || (stopped[one] == FOR_GOOD && !dead[one] && !done[one] &&
                           (guard == one || (exclusive[current] == one && RECORD(current).holder != one)));
     one++
  :: else -> break
  od;
  one = 1;
  do
  :: one <= CLIENTS ->
     assert(excused || done[one] || dead[one] || stopped[one] == FOR_GOOD || kind[one] == OUTSIDER);
     one++
  :: else -> break
  od;
  one = 0;
  excused = false
}

/* A holder that runs gives its sign of life without the guard. If it was late it also takes the guard, if that is free,
 * and looks whether the lock is still its own: from then on nobody's older judgement of it counts. */
inline refresh(client) {
#ifdef MISTAKE_REFRESH_WAITS_FOR_GUARD
  if
  :: guard == NOBODY || guard == client -> give_sign_of_life(place[client]); age[client] = 0; late[client] = false
  :: else -> skip
  fi
#else
  give_sign_of_life(place[client]);
  age[client] = 0;
#ifdef MISTAKE_LATE_REFRESH_WITHOUT_GUARD
  late[client] = false
#else
  late[client] = late[client] && guard != NOBODY && guard != client
#endif
#endif
}

inline tick() {
  one = 1;
  do
  :: one <= CLIENTS ->
     if
     :: kind[one] == WITH_TTL && held[one] && stopped[one] != 0 && age[one] < TTL ->
        age[one]++;
        late[one] = late[one] || age[one] == TTL
     :: kind[one] == WITH_TTL && HOLDS(one) && stopped[one] == 0 -> refresh(one)
     :: else -> skip
     fi;
     if
     :: observing[one] && elapsed[one] < TTL -> elapsed[one]++
     :: else -> skip
     fi;
     one++
  :: else -> break
  od;
  one = 0
}

/* The kernel drops every lock of a process that ends. */
inline kill(client) {
  kills++;
  dead[client] = true;
  held[client] = false;
  place[client] = 0;
  stopped[client] = 0;
  age[client] = 0;
  late[client] = false;
  stop_observing(client);
  leave_guard(client);
  one = 0;
  do
  :: one < PLACES -> unlock_place(client, one); one++
  :: else -> break
  od;
  one = 0
}

inline stop(client, how_long) {
  stops++;
  stopped[client] = how_long
}

#define LIVES(client) (kind[client] != 0 && !dead[client] && !done[client])
#define TIME_MATTERS_TO(client) \
  (LIVES(client) && ((observing[client] && elapsed[client] < TTL) || \
                     (held[client] && kind[client] == WITH_TTL && stopped[client] != 0 && age[client] < TTL)))
#define MAY_KILL(client) (kills < KILLS && LIVES(client))
#define MAY_STOP(client) (stops < STOPS && LIVES(client) && kind[client] == WITH_TTL && stopped[client] == 0)

proctype World() {
  byte observer, one;
  bool excused;
  do
  :: d_step { TIME_MATTERS_TO(1) || TIME_MATTERS_TO(2) || TIME_MATTERS_TO(3) || TIME_MATTERS_TO(4) -> tick() }
  :: d_step { MAY_KILL(1) -> kill(1) }
  :: d_step { MAY_KILL(2) -> kill(2) }
  :: d_step { MAY_KILL(3) -> kill(3) }
  :: d_step { MAY_KILL(4) -> kill(4) }
  :: d_step { MAY_STOP(1) -> stop(1, FOR_A_TIME) }
  :: d_step { MAY_STOP(2) -> stop(2, FOR_A_TIME) }
  :: d_step { MAY_STOP(3) -> stop(3, FOR_A_TIME) }
  :: d_step { MAY_STOP(4) -> stop(4, FOR_A_TIME) }
  :: d_step { MAY_STOP(1) -> stop(1, FOR_GOOD) }
  :: d_step { MAY_STOP(2) -> stop(2, FOR_GOOD) }
  :: d_step { MAY_STOP(3) -> stop(3, FOR_GOOD) }
  :: d_step { MAY_STOP(4) -> stop(4, FOR_GOOD) }
  :: d_step { stopped[1] == FOR_A_TIME -> stopped[1] = 0 }
  :: d_step { stopped[2] == FOR_A_TIME -> stopped[2] = 0 }
  :: d_step { stopped[3] == FOR_A_TIME -> stopped[3] = 0 }
  :: d_step { stopped[4] == FOR_A_TIME -> stopped[4] = 0 }
  :: timeout -> d_step { check_progress() }; break
  od
}

init {
  byte each = 1;
  atomic {
    kind[1] = FIRST;
    kind[2] = SECOND;
    kind[3] = THIRD;
#ifdef FOURTH
    kind[4] = FOURTH;
#endif
    run World();
    do
    :: each <= CLIENTS -> run Client(each); each++
    :: else -> break
    od
  }
}
